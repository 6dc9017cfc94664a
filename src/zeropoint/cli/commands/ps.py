"""List the training runs and downloads in progress on this machine.

A lock file names the process that trains a run, fetches a model or data set, or tokenizes a corpus. A chat
has none: it holds its model only while its command runs.
"""

from __future__ import annotations

from pathlib import Path

import click

from zeropoint.cli import help_page
from zeropoint.cli.console import Console
from zeropoint.settings import Settings

GROUP = "Check"
_EXAMPLES = """\b
Examples:
  zeropoint ps
  zeropoint ps --runs ~/experiments/runs --json
"""


@click.command("ps", cls=help_page.Command, epilog=_EXAMPLES)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path("runs"),
    show_default=True,
    help="Folder of the training runs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.make_pass_decorator(Console, ensure=True)
def command(console: Console, /, runs: Path, as_json: bool) -> None:
    """List the training runs, downloads and tokenizations in progress, with their processes.

    No model stays loaded between commands, so a chat is not listed.
    """
    from zeropoint.catalogue import cache
    from zeropoint.train.run.run_lock import locked_runs

    rows = [("training", str(run), holder) for run, holder in locked_runs(runs)]
    rows += cache.held(Settings.read())
    if as_json:
        console.json([dict(zip(("activity", "name", "process"), row, strict=True)) for row in rows])
    elif rows:
        console.table(("activity", "name", "process"), rows)
    else:
        console.notice(f"no run in {runs} is being trained and no model is being downloaded")
