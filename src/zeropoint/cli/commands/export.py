"""Take a trained model out of its run: a GGUF file, or a folder for Hugging Face transformers.

Before the result takes its name it is read again, compared with the checkpoint, and both are run.
"""

from __future__ import annotations

from pathlib import Path

import click

from zeropoint.cli.console import Console
from zeropoint.errors import BadInput

_EXAMPLES = """\b
Examples:
  zeropoint export runs/shakespeare-char --gguf            a file for zeropoint, and llama.cpp if it can
  zeropoint export shakespeare-char --gguf --to Q8_0       smaller; a run is also found by its name
  zeropoint export shakespeare-char --hf --best            a folder for transformers, of the best checkpoint
  zeropoint export shakespeare-char --gguf --step 1500 --out model.gguf
"""


@click.command("export", epilog=_EXAMPLES)
@click.argument("run")
@click.option("--gguf", is_flag=True, help="Make a GGUF file.")
@click.option("--hf", is_flag=True, help="Make a folder as Hugging Face transformers reads it.")
@click.option(
    "--step", type=click.IntRange(0), metavar="N", help="The checkpoint of that step, not the last."
)
@click.option("--best", is_flag=True, help="The checkpoint with the best validation loss, not the last.")
@click.option("--to", metavar="FORMAT", help="Number format of matrices, as in `zeropoint convert`.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The file or folder. Default: in the run's folder `export`.",
)
@click.option("--force", is_flag=True, help="Replace PATH if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    run: str,
    gguf: bool,
    hf: bool,
    step: int | None,
    best: bool,
    to: str | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a model file of a RUN, given by its folder or its name: of the last checkpoint, unless told."""
    from zeropoint.convert.convert import convert

    if gguf == hf:
        raise BadInput("give --gguf for a file or --hf for a folder, one of them")
    if best and step is not None:
        raise BadInput(f"--best and --step {step} name two checkpoints; give one of them")
    checkpoint = _checkpoint(run, "best" if best else "latest" if step is None else step)
    target = out if out is not None else _default(checkpoint, ".gguf" if gguf else "")
    if gguf and target.suffix.lower() != ".gguf":
        raise BadInput(f"--out {target} must end in .gguf")
    if hf and target.suffix.lower() == ".gguf":
        raise BadInput(f"--out {target} is the name of a file; --hf makes a folder")
    with console.progress(f"writing {target.name}") as report:
        made = convert(
            checkpoint, target, to=to, force=force or out is None, progress=report, notify=console.warning
        )
    checked = "read again and run" if made.was_run else "read again"
    if as_json:
        console.json({"path": str(made.path), "checkpoint": str(checkpoint), "was_run": made.was_run})
    else:
        console.line(f"{made.path}: {made.n_bytes / 1e6:,.1f} MB of {checkpoint.name}, {checked}")


def _checkpoint(run: str, which: str | int) -> Path:
    """The checkpoint's folder. Raises BadInput for a run that is not there."""
    from zeropoint.weights.run_checkpoint import checkpoint_of, find_checkpoint, is_run

    for path in (Path(run).expanduser(), Path("runs") / run):
        if is_run(path):
            return checkpoint_of(path, which)
        if (checkpoint := find_checkpoint(path)) is not None:
            return checkpoint
    raise BadInput(f"there is no run {run}, nor runs/{run}; `zeropoint train` makes one")


def _default(checkpoint: Path, ending: str) -> Path:
    """RUN/export/NAME-step-000120, with the ending."""
    run = checkpoint.parent.parent
    folder = run / "export"
    folder.mkdir(exist_ok=True)
    return folder / f"{run.name}-{checkpoint.name}{ending}"
