"""Show every setting, its value and where it comes from.

Flags come before environment variables, these before `zeropoint.toml` (or `[tool.zeropoint]` in
`pyproject.toml`), this before the user's own `config.toml`, and that before the default.
"""

from __future__ import annotations

import click

from zeropoint.cli import options
from zeropoint.cli.console import Console
from zeropoint.settings import user_file

_EXAMPLES = """\b
Examples:
  zeropoint config
  ZEROPOINT_THREADS=2 zeropoint config --json
"""


@click.command("config", epilog=_EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
def command(console: Console, as_json: bool) -> None:
    """Show every setting, its value and where it comes from.

    What is unset is left to the model or the machine. Sampling values stand in the table [sampling].
    """
    rows = [(s.key.dotted, s.value, s.source) for s in options.read({})]
    if as_json:
        console.json({name: {"value": value, "source": source} for name, value, source in rows})
        return
    console.table(("setting", "value", "source"), [(n, "" if v is None else v, s) for n, v, s in rows])
    console.notice(f"your own file is {user_file()}")
