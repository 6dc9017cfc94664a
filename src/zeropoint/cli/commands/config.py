"""Show every setting with its value and source.

A flag overrides an environment variable, which overrides the project file (`zeropoint.toml`, or
`[tool.zeropoint]` in `pyproject.toml`), which overrides your own `config.toml`, which overrides the default.
"""

from __future__ import annotations

import click

from zeropoint.cli import help_page, options
from zeropoint.cli.console import Console
from zeropoint.settings import user_file

GROUP = "Check"
_EXAMPLES = """\b
Examples:
  zeropoint config
  ZEROPOINT_THREADS=2 zeropoint config --json
"""


@click.command("config", cls=help_page.Command, epilog=_EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
def command(console: Console, as_json: bool) -> None:
    """Show every setting with its value and source.

    An empty value means that the model or the machine decides. In a settings file, sampling parameters belong
    in the table [sampling].
    """
    rows = [(s.key.dotted, s.value, s.source) for s in options.read({})]
    if as_json:
        console.json({name: {"value": value, "source": source} for name, value, source in rows})
        return
    console.table(("setting", "value", "source"), [(n, "" if v is None else v, s) for n, v, s in rows])
    console.notice(f"your settings file: {user_file()}")
