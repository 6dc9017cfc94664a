"""Retrain published models, each one part larger than the last.

A ladder is a sequence of small models, each adding one part to the previous one: a "rung". Training every
rung shows what each part is worth, and that our parts match those of the lecture or article.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zeropoint.cli import help_page
from zeropoint.cli.console import Console
from zeropoint.cli.extras import require_torch
from zeropoint.cli.names import ladder_names

if TYPE_CHECKING:
    from zeropoint.learn.ladders.ladder import Ladder, Rung, StageResult
    from zeropoint.train.config.device import Device

_N_PARAMETERS_SHOWN = 5
_QUICK_STEPS = 3
_FLAGS = {"seconds": "", "minutes": "--slow", "night": "--full"}
_HEADERS = ("rung", "steps", "published", "ours", "corrected", "tolerance", "verdict", "s")
GROUP = "Train"
_EXAMPLES = """\b
Examples:
  zeropoint ladder list                               every rung, and how long it takes
  zeropoint ladder harbour                            a first ladder: needs no network
  zeropoint ladder build-gpt                          every rung that takes seconds
  zeropoint ladder llama --slow                       and those that take minutes
  zeropoint ladder llama --rung rms-norm --rung no-mask --json
"""


@click.command("ladder", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("name", metavar="LADDER", shell_complete=ladder_names)
@click.option(
    "--rung",
    "names",
    metavar="NAME",
    multiple=True,
    help="Train only this model of the ladder, as in rms-norm. Repeatable.",
)
@click.option(
    "--slow", is_flag=True, help="Also train what takes minutes; without it, only what takes seconds."
)
@click.option(
    "--full", is_flag=True, help="Train everything, also what takes a night on a CPU (or minutes on a GPU)."
)
@click.option(
    "--quick",
    is_flag=True,
    help=f"Train each model for only {_QUICK_STEPS} steps, to see that it runs; compare and record nothing.",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    help="Train on the processor (cpu) or an NVIDIA GPU (cuda). Default: cpu; what only --full trains uses a "
    "GPU if there is one.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    metavar="N",
    default=1337,
    show_default=True,
    help="A number that fixes all random choices: initial weights, batches, dropout.",
)
@click.option(
    "--results",
    metavar="FILE",
    help="Append one line of JSON for each result to this file. Default: ladders.jsonl in your state folder.",
)
@click.option(
    "--runs",
    metavar="DIR",
    default="runs",
    show_default=True,
    help="With --full: folder for the training runs. An interrupted run there is resumed.",
)
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
    results: str | None,
    runs: str,
    as_json: bool,
) -> None:
    """Train the models of LADDER and compare their losses with the published ones.

    A ladder is a series of small models, each with one more part than the last: a rung. Ladders: build-gpt
    (Karpathy, "Let's build GPT", 2023) and llama (Kitano, "Llama from scratch", 2023), on tiny Shakespeare,
    and harbour, the small rungs of build-gpt on a story in the package, with our own losses. `zeropoint
    ladder list` lists the rungs of all, with minutes.

    The llama rungs are trained twice, as published ("ours") and without their bugs ("corrected"); a module
    that lets a model see the tokens it should predict is reported by name. The exit code is 1 if a loss
    differs, if losses do not decrease as published, or if a corrected model sees them.
    """
    require_torch("ladder")
    if name == "list":
        _list(console, as_json)
        return
    from zeropoint import registry, settings
    from zeropoint.learn.ladders import results as results_file
    from zeropoint.learn.ladders import run_ladder

    ladder: Ladder = registry.load("zeropoint.learn.ladders.published", name, "ladder").LADDER
    rungs = run_ladder.select_rungs(ladder, names, "night" if full else "minutes" if slow else "seconds")
    path = Path(results) if results else settings.ladder_results_file()
    if not quick:
        results_file.append(path)  # fail before training, not after, if the file is not writable
    measured: list[StageResult] = []
    if sys.stdout.isatty() and not as_json:
        console.line(_aligned(_HEADERS))
    for result in _train(console, ladder, rungs, seed, quick, Path(runs), device):
        measured.append(result)
        if not quick:
            results_file.append(path, results_file.entry(ladder, result, seed))
        if not as_json:
            _print(console, result)
    out_of_order = run_ladder.out_of_order(ladder, measured)
    if as_json:
        entries = [results_file.entry(ladder, result, seed) for result in measured]
        console.json({"rungs": entries, "out_of_order": out_of_order})
    else:
        _print_summary(console, measured, out_of_order)
    _report_skipped(console, ladder, names, rungs)
    if out_of_order or any(r.verdict == "differs" or r.corrected_leak is not None for r in measured):
        context.exit(1)


def _train(
    console: Console,
    ladder: Ladder,
    rungs: list[Rung],
    seed: int,
    is_quick: bool,
    folder: Path,
    device: Device | None,
) -> Iterator[StageResult]:
    """Train the rungs, with their progress on stderr."""
    from zeropoint.cli.train_display import step_bar, train_display
    from zeropoint.learn.ladders import run_ladder

    ids = run_ladder.load_text(ladder.text)
    for rung in rungs:
        console.notice(f"{rung.name}: {rung.change}")
        with train_display(console) as display, step_bar(console) as bar:
            for result in run_ladder.run_ladder(
                ladder,
                [rung],
                ids,
                seed,
                _QUICK_STEPS if is_quick else None,
                folder=folder,
                callbacks=(display,),
                device=device,
                progress=bar.update,
            ):
                bar.pause()
                yield result


def _list(console: Console, as_json: bool) -> None:
    """Print every rung of every ladder: what it adds, its steps, about how long it takes, and the flag."""
    from zeropoint import registry

    rows = []
    for name in registry.names("zeropoint.learn.ladders.published"):
        ladder: Ladder = registry.load("zeropoint.learn.ladders.published", name, "ladder").LADDER
        for rung in ladder.rungs:
            rows += [(ladder.name, rung, stage) for stage in rung.stages]
    if as_json:
        console.json(
            [
                {
                    "ladder": name,
                    "rung": f"{rung.name} {stage.split}".rstrip(),
                    "change": rung.change,
                    "steps": stage.n_steps,
                    "minutes": stage.minutes,
                    "flag": _FLAGS[stage.cost],
                }
                for name, rung, stage in rows
            ]
        )
        return
    console.table(
        ("ladder", "rung", "steps", "minutes", "with", "what it adds"),
        [
            (
                name,
                f"{rung.name} {stage.split}".rstrip(),
                f"{stage.n_steps:,}",
                f"{stage.minutes:g}",
                _FLAGS[stage.cost],
                rung.change,
            )
            for name, rung, stage in rows
        ],
    )


def _print(console: Console, result: StageResult) -> None:
    """Print an aligned line and its remarks on a terminal; in a pipe, one row with the remarks last."""
    cells = (
        result.name,
        f"{result.n_steps}",
        " or ".join(f"{loss:g}" for loss in result.stage.published),
        f"{result.ours:.4f}",
        "-" if result.corrected is None else f"{result.corrected:.4f}",
        f"{result.stage.tolerance:g}",
        result.verdict,
        f"{result.seconds:.0f}",
    )
    remarks = list(_remarks(result))
    if not sys.stdout.isatty():
        console.table((), [(*cells, "; ".join(remarks))])
        return
    console.line(_aligned(cells))
    for remark in remarks:
        console.line(f"  {remark}")


def _aligned(cells: tuple[str, ...]) -> str:
    return "{:<16} {:>6} {:>14} {:>7} {:>7} {:>9}  {:<10} {:>4}".format(*cells)


def _remarks(result: StageResult) -> Iterator[str]:
    """Remarks on a result, one sentence each."""
    if result.leak is not None:
        yield f"the published model sees future tokens: {result.leak}"
    if result.corrected_leak is not None:
        yield f"the corrected model sees future tokens: {result.corrected_leak}"
    if result.n_not_optimized:
        n_optimized = result.n_weights - result.n_not_optimized
        yield f"the optimizer has {n_optimized:,} of the model's {result.n_weights:,} weights"
    if result.stage.n_batches == 1:
        yield "mean of one batch; --slow averages all 200"
    if result.stage.reason:
        yield f"not binding: {result.stage.reason}"


def _print_summary(console: Console, results: list[StageResult], out_of_order: list[tuple[str, str]]) -> None:
    for before, after in out_of_order:
        console.line(f"out of order: the loss of {after} is not below that of {before}")
    if not results:
        return
    last = results[-1]
    worst = sorted(last.near_zero_gradients, key=lambda item: -item[1])[:_N_PARAMETERS_SHOWN]
    if worst:
        listed = ", ".join(f"{name} {fraction:.0%}" for name, fraction in worst)
        console.notice(f"gradients near zero at the last step of {last.name}: {listed}")
    n_holding = sum(result.verdict == "holds" for result in results)
    seconds = sum(result.seconds for result in results)
    console.notice(f"{n_holding} of {len(results)} losses hold; trained in {seconds:.0f} s")


def _report_skipped(console: Console, ladder: Ladder, names: tuple[str, ...], rungs: list[Rung]) -> None:
    """List the stages skipped because they take long, with the flag that includes them."""
    trained = {(rung.name, stage) for rung in rungs for stage in rung.stages}
    for rung in ladder.rungs:
        skipped = [stage for stage in rung.stages if (rung.name, stage) not in trained]
        if skipped and (not names or rung.name in names):
            flag = "--slow" if skipped[0].cost == "minutes" else "--full"
            steps = ", ".join(f"{stage.n_steps:,}" for stage in skipped)
            console.notice(f"skipped {rung.name} at {steps} steps; {flag} includes it")
