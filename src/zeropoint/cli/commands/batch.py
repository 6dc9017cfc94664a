"""Answer a file of requests in OpenAI's batch format.

Each line of the input is {"custom_id", "method": "POST", "url", "body"}; each line of the output has the same
custom_id and the response.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zeropoint.cli import help_page, options
from zeropoint.cli.console import Console
from zeropoint.cli.open_model import model_name, open_model, warn_about_threads

GROUP = "Use"
_EXAMPLES = """\b
Examples:
  zeropoint batch questions.jsonl answers.jsonl
  zeropoint batch --model gemma3:270m --parallel 16 in.jsonl out.jsonl
"""


@click.command("batch", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@options.engine
@help_page.option(
    "--parallel",
    type=click.IntRange(1, 256),
    default=32,
    show_default=True,
    metavar="N",
    help="Requests to answer at once.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: requests, failed.")
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console, /, source: Path, target: Path, parallel: int, as_json: bool, **flags: Any
) -> None:
    """Answer the requests in IN, one JSON object per line, and write the results to OUT in their order.

    Requests are answered together, and a request may name no other model than the one that is loaded. A run
    that was interrupted continues where it stopped: its results are in OUT.partial.
    """
    from zeropoint.server.batch import run_batch
    from zeropoint.server.models import ModelPool, PoolLimits

    settings = options.read(flags)
    warn_about_threads(settings, console)
    pool = ModelPool(
        [model_name(settings)],
        lambda name: open_model(settings, console, will_chat=True),
        PoolLimits(max_running=parallel),
    )
    with console.progress("answering") as report:
        n_requests, n_failed = run_batch(
            pool, source, target, n_parallel=parallel, on_progress=lambda done, total: report(total, done)
        )
    if as_json:
        console.json({"requests": n_requests, "failed": n_failed})
    elif n_failed:
        console.warning(f"{n_failed} of {n_requests} requests failed; {target} has the reasons")
