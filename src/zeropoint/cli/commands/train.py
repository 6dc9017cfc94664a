"""Train a model from nothing, on the machine you have: watch it, interrupt it, go on with it.

A preset or a TOML file says what, `--set` changes any number of it. What a run leaves lies in its folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zeropoint.cli.console import Console
from zeropoint.cli.extras import require_torch
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.train.callbacks.callbacks import Result
    from zeropoint.train.config.config import RunConfig

_EXAMPLES = """\b
Examples:
  zeropoint train harbour                          half a minute, with no network
  zeropoint train shakespeare-char                 nanoGPT's small model, in minutes
  zeropoint train shakespeare-char --set train.steps=500 --set optimizer.learning_rate=3e-4
  zeropoint train --config mine.toml --out runs/mine --time-budget 10m
  zeropoint train --resume --out runs/mine         go on where it was interrupted
"""


@click.command("train", epilog=_EXAMPLES)
@click.argument("preset", required=False)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="A TOML file of one's own.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change one number: train.steps=500.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="The run's folder. Default: runs/NAME."
)
@click.option("--resume", is_flag=True, help="Go on with the run that is in the folder.")
@click.option("--fresh", is_flag=True, help="Start anew; a run in the folder is moved aside.")
@click.option("--time-budget", metavar="SPAN", help="End after so long: 90s, 10m, 8h.")
@click.option("--ray", metavar="ADDRESS", help="On a Ray cluster: HOST:PORT of its head, auto or local.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Workers on it. Default: 1.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
@click.pass_context
def command(
    ctx: click.Context,
    console: Console,
    /,
    preset: str | None,
    config: Path | None,
    sets: tuple[str, ...],
    out: Path | None,
    resume: bool,
    fresh: bool,
    time_budget: str | None,
    ray: str | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Train a model as a PRESET says, or a file.

    Ctrl-C ends it after the step it is in and keeps a checkpoint, from which --resume goes on as if nothing
    had been; a second one ends it at once. The folder then holds metrics.jsonl, loss.png and report.html.
    """
    require_torch("training")
    if resume and fresh:
        raise BadInput("--resume goes on and --fresh starts anew; give one of them")
    if workers is not None and ray is None:
        raise BadInput(f"--workers {workers} is of a Ray cluster; add --ray ADDRESS, or --ray local")
    folder = _folder(preset, config, out, resume)
    if time_budget is not None:
        sets = (*sets, f'train.time_budget="{time_budget}"')
    read = _config(preset, config, folder if resume else None, sets)
    if fresh:
        from zeropoint.train.run.run import move_aside

        if (aside := move_aside(folder)) is not None:
            console.warning(f"the run that was in {folder} is now {aside}")
    result = _trained(read, folder, resume, console, ray, workers or 1)
    if as_json:
        console.json(result.as_plain())
    else:
        _tell(result, console)
    ctx.exit(result.exit_code)


def _trained(
    config: RunConfig, folder: Path, resume: bool, console: Console, ray: str | None, n_workers: int
) -> Result:
    """Run it, here or on a cluster, with everything that looks on."""
    from zeropoint.cli.train_display import train_display
    from zeropoint.train.callbacks.metrics import MetricsFile, SampleFiles, TensorBoard
    from zeropoint.train.report.report import Report
    from zeropoint.train.run.run import run

    with train_display(console) as screen:
        if ray is not None:
            from zeropoint.train.distributed.ray import run_on_ray

            return run_on_ray(config, folder, screen, address=ray, n_workers=n_workers, resume=resume)
        callbacks = (screen, MetricsFile(), TensorBoard(), SampleFiles(), Report(screen))
        return run(config, folder, callbacks, resume=resume)


def _folder(preset: str | None, config: Path | None, out: Path | None, resume: bool) -> Path:
    """Where the run lies: as asked, or runs/ and the preset's or the file's name."""
    if preset is not None and config is not None:
        raise BadInput(f"the preset {preset} and --config {config} are both given; give one of them")
    if out is not None:
        return out
    if preset is None and config is None and resume:
        raise BadInput("--resume does not say which run is to go on; add --out DIR, the run's folder")
    if preset is None and config is None:
        from zeropoint.train.config.io import recipes

        listed = ", ".join(recipes())
        raise BadInput(f"there is nothing to train; name a preset ({listed}), or give --config FILE")
    return Path("runs") / (config.stem if config is not None else str(preset))


def _config(preset: str | None, file: Path | None, resumed: Path | None, sets: tuple[str, ...]) -> RunConfig:
    """What to train; a run that goes on has its own configuration, unless a file is given."""
    from zeropoint.train.config.io import read_config, read_run_config

    if resumed is not None and file is None:
        if not resumed.is_dir():
            raise BadInput(f"there is no run in {resumed} to go on with; leave --resume out to start one")
        if not (resumed / "config.toml").is_file():
            raise BadInput(f"{resumed / 'config.toml'} is missing; put it back, or start anew with --fresh")
        return read_run_config(resumed, sets)
    return read_config(file if file is not None else preset or "", sets)


def _tell(result: Result, console: Console) -> None:
    """The end in words, and the curve where there is room for it."""
    from zeropoint.train.report.report import STOP_REASONS, next_commands

    if sys.stdout.isatty():
        _draw(result.folder, console)
    best = "" if result.best_loss is None else f"; best {result.best_loss:.4f} after step {result.best_step}"
    last = "" if result.validation_loss is None else f", validation {result.validation_loss:.4f}{best}"
    console.line(f"{result.folder}: step {result.step}, loss {result.train_loss:.4f}{last}")
    console.line(
        f"ended because {STOP_REASONS[result.stopped_by]}, after {result.seconds:,.0f} s of training"
    )
    if result.exit_code:
        console.line(f"go on with it:   zeropoint train --resume --out {result.folder}")
    is_best = result.best_step in (None, result.step)
    model = result.folder if is_best else f"{result.folder}/best"
    for line in next_commands(result.folder, model)[:1]:
        console.line(f"let it work:     {line}")
    console.line(f"look at it:      {result.folder}/report.html")


def _draw(folder: Path, console: Console) -> None:
    from zeropoint.train.report.plot import draw_terminal, read_curve

    width = console.rich(sys.stdout).width
    try:
        drawn = draw_terminal(read_curve(folder), width, has_color=console.has_color(sys.stdout))
    except BadInput as error:
        console.warning(str(error))
        return
    sys.stdout.write(f"{drawn}\n")
