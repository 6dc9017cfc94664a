"""Train a model from scratch on your own machine.

A preset or a TOML file describes the model, data and optimizer; `--set` overrides any setting. Each run has a
folder with its checkpoints, metrics and report.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zeropoint.cli import help_page
from zeropoint.cli.console import Console
from zeropoint.cli.extras import require_torch
from zeropoint.cli.names import preset_names
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.train.callbacks.callbacks import Result
    from zeropoint.train.config.config import RunConfig

GROUP = "Train"
_CLUSTER = "Several machines"
_EXAMPLES = """\b
Examples:
  zeropoint train harbour                          a demo: half a minute, no network needed
  zeropoint train shakespeare-char                 nanoGPT's character-level model, in minutes
  zeropoint train shakespeare-char --set train.steps=500 --set optimizer.learning_rate=3e-4
  zeropoint train --config mine.toml --out runs/mine --time-budget 10m
  zeropoint train --resume --out runs/mine         resume an interrupted run
"""


@click.command("train", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("preset", required=False, shell_complete=preset_names)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your own TOML file instead of a preset.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, as in train.steps=500. Repeatable; docs/train.md lists them.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the run: checkpoints, metrics, report. Default: runs/PRESET.",
)
@click.option(
    "--resume", is_flag=True, help="Continue the interrupted run in that folder from its latest checkpoint."
)
@click.option(
    "--fresh", is_flag=True, help="Start a new run; an existing run in the folder is renamed, not deleted."
)
@click.option("--time-budget", metavar="SPAN", help="Stop after this time, as in 90s, 10m or 8h.")
@help_page.option(
    "--ray",
    group=_CLUSTER,
    metavar="ADDRESS",
    help="Train on a Ray cluster: HOST:PORT of its head node, auto or local.",
)
@help_page.option(
    "--workers",
    group=_CLUSTER,
    type=click.IntRange(min=1),
    metavar="N",
    help="With --ray: train on this many machines or GPUs. Default: 1.",
)
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
    """Train the model described by PRESET or a config file.

    `zeropoint train` without arguments lists the presets.

    Ctrl-C finishes the current step, saves a checkpoint and stops; --resume continues bit for bit. A second
    Ctrl-C stops at once. The run's folder then contains metrics.jsonl, loss.png and report.html.
    """
    require_torch("training")
    if resume and fresh:
        raise BadInput("--resume continues a run and --fresh starts a new one; give one of them")
    if workers is not None and ray is None:
        raise BadInput(
            f"--workers {workers} only applies to a Ray cluster; add --ray ADDRESS, or --ray local"
        )
    folder = _folder(preset, config, out, resume)
    if time_budget is not None:
        sets = (*sets, f'train.time_budget="{time_budget}"')
    run_config = _config(preset, config, folder if resume else None, sets)
    if fresh:
        from zeropoint.train.run.run import start_over

        if (aside := start_over(run_config, folder, console.notice)) is not None:
            console.warning(f"renamed the existing run in {folder} to {aside}")
    result = _train(run_config, folder, resume, console, ray, workers or 1)
    if as_json:
        console.json(result.as_json())
    else:
        _print_result(result, console)
    ctx.exit(result.exit_code)


def _train(
    config: RunConfig, folder: Path, resume: bool, console: Console, ray: str | None, n_workers: int
) -> Result:
    """Train here or on a cluster, with the progress display and all callbacks."""
    from zeropoint.cli.train_display import train_display
    from zeropoint.train.callbacks.metrics import MetricsFile, SampleFiles, TensorBoard
    from zeropoint.train.report.report import Report
    from zeropoint.train.run.run import run

    with train_display(console) as display, Report(display) as report:
        if ray is not None:
            from zeropoint.train.distributed.ray import run_on_ray

            return run_on_ray(config, folder, display, address=ray, n_workers=n_workers, resume=resume)
        callbacks = (display, MetricsFile(), TensorBoard(), SampleFiles(), report)
        return run(config, folder, callbacks, resume=resume)


def _folder(preset: str | None, config: Path | None, out: Path | None, resume: bool) -> Path:
    """The run's folder: --out, or runs/ plus the name of the preset or config file. Raises BadInput."""
    if preset is not None and config is not None:
        raise BadInput(f"both the preset {preset} and --config {config} are given; give one of them")
    if out is not None:
        return out
    if preset is None and config is None and resume:
        raise BadInput("--resume needs a run to continue; add --out DIR, the run's folder")
    if preset is None and config is None:
        from zeropoint.train.config.recipes import recipes

        listed = ", ".join(recipes())
        raise BadInput(f"nothing to train; name a preset ({listed}), or give --config FILE")
    return Path("runs") / (config.stem if config is not None else str(preset))


def _config(preset: str | None, file: Path | None, resumed: Path | None, sets: tuple[str, ...]) -> RunConfig:
    """The configuration. A resumed run uses its stored one, unless a file is given. Raises BadInput."""
    from zeropoint.train.config.io import read_config, read_run_config

    if resumed is not None and file is None:
        if not resumed.is_dir():
            raise BadInput(f"there is no run in {resumed} to resume; remove --resume to start one")
        if not (resumed / "config.toml").exists():
            raise BadInput(
                f"{resumed / 'config.toml'} is missing; restore it, or start a new run with --fresh"
            )
        return read_run_config(resumed, sets)
    return read_config(file if file is not None else preset or "", sets)


def _print_result(result: Result, console: Console) -> None:
    """Print the final losses and the next commands, and on a terminal the loss curve."""
    from zeropoint.train.report.report import STOP_REASONS, continue_command, next_commands

    if sys.stdout.isatty():
        _print_curve(result.folder, console)
    best = "" if result.best_loss is None else f"; best {result.best_loss:.4f} after step {result.best_step}"
    last = "" if result.validation_loss is None else f", validation {result.validation_loss:.4f}{best}"
    console.line(f"{result.folder}: step {result.step}, loss {result.train_loss:.4f}{last}")
    console.line(
        f"ended because {STOP_REASONS[result.stopped_by]}, after {result.seconds:,.0f} s of training"
    )
    is_best = result.best_step in (None, result.step)
    model = result.folder if is_best else f"{result.folder}/best"
    for line in next_commands(result.folder, model)[:1]:
        console.line(f"use it:       {line}")
    console.line(f"continue:     {continue_command(result.folder, result.stopped_by)}")
    console.line(f"report:       {result.folder}/report.html")


def _print_curve(folder: Path, console: Console) -> None:
    from zeropoint.train.report.plot import draw_terminal, read_curve

    width = console.rich(sys.stdout).width
    try:
        plot = draw_terminal(read_curve(folder), width, has_color=console.has_color(sys.stdout))
    except BadInput as error:
        console.warning(str(error))
        return
    sys.stdout.write(f"{plot}\n")
