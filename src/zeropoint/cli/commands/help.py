"""Show the help of zeropoint, or of one command."""

from __future__ import annotations

import click

from zeropoint.cli import help_page
from zeropoint.cli.console import Console
from zeropoint.cli.names import command_names

GROUP = "Check"
_EXAMPLES = """\b
Examples:
  zeropoint help
  zeropoint help chat
  zeropoint help models pull
"""


@click.command("help", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("names", metavar="[COMMAND]...", nargs=-1, shell_complete=command_names)
@click.make_pass_decorator(Console, ensure=True)
@click.pass_context
def command(ctx: click.Context, console: Console, /, names: tuple[str, ...]) -> None:
    """Show the help of COMMAND, as `COMMAND --help` does; without one, list the commands."""
    program = ctx.find_root()
    program.command.main([*names, "--help"], program.info_name, obj=console, standalone_mode=False)
