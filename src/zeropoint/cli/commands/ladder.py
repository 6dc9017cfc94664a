"""Climb a ladder of models that grow part by part, and hold each rung to the loss that was published."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zeropoint.cli.console import Console
from zeropoint.cli.extras import need_torch

if TYPE_CHECKING:
    from zeropoint.learn.ladder import Ladder, Reached, Rung
    from zeropoint.train.config.device import Device

_WORST = 5  # weights whose gradients are shown
_QUICK_STEPS = 3
_HEADERS = ("rung", "steps", "published", "ours", "corrected", "tolerance", "verdict", "s")
_EXAMPLES = """\b
Examples:
  zeropoint ladder build-gpt
  zeropoint ladder llama --slow
  zeropoint ladder llama --rung rms-norm --rung no-mask --json
"""


@click.command("ladder", epilog=_EXAMPLES)
@click.argument("name", metavar="LADDER")
@click.option("--rung", "names", metavar="NAME", multiple=True, help="This rung only; may be given again.")
@click.option("--slow", is_flag=True, help="What takes minutes too.")
@click.option("--full", is_flag=True, help="Everything: what takes a night, or a GPU.")
@click.option("--quick", is_flag=True, help=f"{_QUICK_STEPS} steps a rung: that it runs, no more; not kept.")
@click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]),
              help="Where. Default: cpu; for --full as its preset says.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1337, show_default=True)
@click.option("--ledger", metavar="FILE", help="Where results are kept; by default with the program's state.")
@click.option("--runs", metavar="DIR", default="runs", show_default=True,
              help="Where --full keeps its run; one that is there is gone on with.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
@click.pass_context
def command(
    context: click.Context,
    console: Console,
    /,
    name: str,
    names: tuple[str, ...],
    slow: bool,
    full: bool,
    quick: bool,
    device: Device | None,
    seed: int,
    ledger: str | None,
    runs: str,
    as_json: bool,
) -> None:
    """Train every rung of LADDER on tiny Shakespeare: published, ours, tolerance, verdict, seconds.

    build-gpt: Karpathy's lecture, from a table of pairs to a transformer. llama: Kitano's "Llama from
    scratch", as published and once more without its faults; what shows a model the future is named.
    The exit code is 1 where a loss differs, an order breaks or a corrected model leaks.
    """
    need_torch("ladder")
    from zeropoint import registry, settings
    from zeropoint.cli.train_display import showing
    from zeropoint.learn import ladder_results as book
    from zeropoint.learn import run_ladder

    ladder: Ladder = registry.load("zeropoint.learn.ladders", name, "ladder").LADDER
    rungs = run_ladder.chosen(ladder, names, "night" if full else "minutes" if slow else "seconds")
    path = Path(ledger) if ledger else settings.ledger_file()
    if not quick:
        book.append(path)  # a ledger that cannot be written is told before the training, not after it
    ids = run_ladder.shakespeare()
    n_steps = _QUICK_STEPS if quick else None
    reached: list[Reached] = []
    if sys.stdout.isatty() and not as_json:
        console.line(_aligned(_HEADERS))
    for rung in rungs:
        console.notice(f"{rung.name}: {rung.change}")
        with showing(console) as screen:
            climbing = run_ladder.climb(
                ladder, [rung], ids, seed, n_steps, folder=Path(runs), callbacks=(screen,), device=device
            )
            for one in climbing:
                reached.append(one)
                if not quick:
                    book.append(path, book.entry(ladder, one, seed))
                if not as_json:
                    _print(console, one)
    broken = run_ladder.out_of_order(ladder, reached)
    if as_json:
        console.json({"rungs": [book.entry(ladder, one, seed) for one in reached], "out_of_order": broken})
    else:
        _print_end(console, reached, broken)
    _tell_skipped(console, ladder, names, rungs)
    if broken or any(one.verdict == "differs" or one.corrected_leak is not None for one in reached):
        context.exit(1)


def _print(console: Console, one: Reached) -> None:
    """A line on a terminal, what is to be known beneath; in a pipe a row, with that as its last column."""
    cells = (
        one.name,
        f"{one.n_steps}",
        " or ".join(f"{loss:g}" for loss in one.stage.published),
        f"{one.ours:.4f}",
        "-" if one.corrected is None else f"{one.corrected:.4f}",
        f"{one.stage.tolerance:g}",
        one.verdict,
        f"{one.seconds:.0f}",
    )
    remarks = list(_remarks(one))
    if not sys.stdout.isatty():
        console.table((), [(*cells, "; ".join(remarks))])
        return
    console.line(_aligned(cells))
    for remark in remarks:
        console.line(f"  {remark}")


def _aligned(cells: tuple[str, ...]) -> str:
    return "{:<16} {:>6} {:>14} {:>7} {:>7} {:>9}  {:<10} {:>4}".format(*cells)


def _remarks(one: Reached) -> Iterator[str]:
    """What is to be known beside the numbers, a sentence each."""
    if one.leak is not None:
        yield f"as published it sees the future: {one.leak}"
    if one.corrected_leak is not None:
        yield f"the corrected form sees the future: {one.corrected_leak}"
    if one.n_unheld:
        yield f"the optimizer holds {one.n_weights - one.n_unheld:,} of the model's {one.n_weights:,} weights"
    if one.stage.n_batches == 1:
        yield "of one batch; --slow takes all 200"
    if one.stage.reason:
        yield f"not binding: {one.stage.reason}"


def _print_end(console: Console, reached: list[Reached], broken: list[tuple[str, str]]) -> None:
    for before, after in broken:
        console.line(f"out of order: {after} is not below {before}")
    if not reached:
        return
    last = reached[-1]
    worst = sorted(last.dead, key=lambda share: -share[1])[:_WORST]
    if worst:
        shown = ", ".join(f"{name} {share:.0%}" for name, share in worst)
        console.notice(f"gradients near zero at the last step of {last.name}: {shown}")
    n_held = sum(one.verdict == "holds" for one in reached)
    seconds = sum(one.seconds for one in reached)
    console.notice(f"{n_held} of {len(reached)} hold, trained in {seconds:.0f} s")


def _tell_skipped(console: Console, ladder: Ladder, names: tuple[str, ...], rungs: list[Rung]) -> None:
    """What was left out because it takes long, and how to have it."""
    climbed = {(rung.name, stage) for rung in rungs for stage in rung.stages}
    for rung in ladder.rungs:
        left = [stage for stage in rung.stages if (rung.name, stage) not in climbed]
        if left and (not names or rung.name in names):
            flag = "--slow" if left[0].cost == "minutes" else "--full"
            steps = ", ".join(f"{stage.n_steps:,}" for stage in left)
            console.notice(f"{rung.name} was left out at {steps} steps: {flag} trains it")
