"""Answer a file of requests in OpenAI's batch format.

Each line of the input is {"custom_id", "method": "POST", "url", "body"}; each line of the output has the same
custom_id and the response.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import help_page, options
from zeropoint.cli.console import Console
from zeropoint.cli.open_model import model_name, open_model, warn_about_threads
from zeropoint.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zeropoint.server.models import PoolLimits

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
@help_page.option(
    "--ray",
    metavar="ADDRESS",
    help="Answer on this Ray cluster, with Ray Data: host:port, auto, or local for one on this machine.",
)
@help_page.option(
    "--replicas",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    metavar="N",
    help="With --ray: how many processes answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: requests, failed.")
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    source: Path,
    target: Path,
    parallel: int,
    ray: str | None,
    replicas: int,
    as_json: bool,
    **flags: Any,
) -> None:
    """Answer the requests in IN, one JSON object per line, and write the results to OUT in their order.

    Requests are answered together, and a request may name no other model than the one that is loaded. A run
    that was interrupted continues where it stopped: its results are in OUT.partial.
    """
    from zeropoint.server.batch import run_batch
    from zeropoint.server.models import ModelPool, PoolLimits

    settings = options.read(flags)
    warn_about_threads(settings, console)
    limits = PoolLimits(max_running=parallel)
    with console.progress("answering") as report:

        def on_progress(done: int, total: int) -> None:
            report(total, done)

        if ray is not None:
            n_requests, n_failed = _on_ray(settings, limits, source, target, ray, replicas, on_progress)
        else:
            pool = ModelPool(
                [model_name(settings)], lambda name: open_model(settings, console, will_chat=True), limits
            )
            n_requests, n_failed = run_batch(
                pool, source, target, n_parallel=parallel, on_progress=on_progress
            )
    if as_json:
        console.json({"requests": n_requests, "failed": n_failed})
    elif n_failed:
        console.warning(f"{n_failed} of {n_requests} requests failed; {target} has the reasons")


def _on_ray(
    settings: Settings,
    limits: PoolLimits,
    source: Path,
    target: Path,
    address: str,
    n_replicas: int,
    on_progress: Callable[[int, int], None],
) -> tuple[int, int]:
    from zeropoint import ray_cluster
    from zeropoint.engine.machine import default_threads
    from zeropoint.server.batch import BatchLine, write_batch
    from zeropoint.server.pool_spec import PoolSpec
    from zeropoint.server.ray_batch import answers_on_ray

    engine = settings.engine_options()
    spec, n_threads = PoolSpec((model_name(settings),), engine, limits), engine.threads or default_threads()

    def answers(requests: Iterator[BatchLine], write: Callable[[str], None]) -> None:
        with ray_cluster.connected(address, n_replicas * n_threads, "a batch on Ray"):
            for line in answers_on_ray(requests, spec, n_replicas, n_threads):
                write(line)

    return write_batch(source, target, answers, on_progress)
