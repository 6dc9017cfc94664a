"""Write a model you trained as a file that other programs open.

The result is compared with the checkpoint, tensor by tensor, and both are run before the file gets its name.
"""

from __future__ import annotations

from pathlib import Path

import click

from zeropoint.cli import help_page
from zeropoint.cli.console import Console
from zeropoint.cli.names import format_names, run_names
from zeropoint.errors import BadInput

GROUP = "Train"
_EXAMPLES = """\b
Examples:
  zeropoint export runs/shakespeare-char --gguf            a file for zeropoint and llama.cpp
  zeropoint export shakespeare-char --gguf --to Q8_0       quantised; the run found by name in runs/
  zeropoint export shakespeare-char --hf --best            the best checkpoint, for transformers
  zeropoint export shakespeare-char --gguf --step 1500 --out model.gguf
"""


@click.command("export", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("run", shell_complete=run_names)
@click.option("--gguf", is_flag=True, help="Write one GGUF file, for zeropoint, llama.cpp and others.")
@click.option("--hf", is_flag=True, help="Write a folder, for Hugging Face transformers.")
@click.option(
    "--step",
    type=click.IntRange(0),
    metavar="N",
    help="Export the weights as they were after step N, as in 1500. Default: the latest.",
)
@click.option("--best", is_flag=True, help="Export the weights with the lowest validation loss.")
@click.option(
    "--to",
    metavar="FORMAT",
    help="How to store the weights, as in Q8_0; `zeropoint convert --help` lists the formats.",
    shell_complete=format_names,
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="File or folder to write. Default: in RUN/export.",
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
    """Write the model trained in RUN as a file or folder that other programs open.

    RUN is a run's folder, or the name of a folder in runs/. Choose --gguf or --hf.
    """
    from zeropoint.convert.convert import convert

    if gguf == hf:
        raise BadInput("give exactly one of --gguf (a file) and --hf (a folder)")
    if best and step is not None:
        raise BadInput(f"--best and --step {step} select different checkpoints; give one of them")
    checkpoint = _checkpoint(run, "best" if best else "latest" if step is None else step)
    target = out if out is not None else _default_target(checkpoint, ".gguf" if gguf else "")
    if gguf and target.suffix.lower() != ".gguf":
        raise BadInput(f"--out {target} must end in .gguf")
    if hf and target.suffix.lower() == ".gguf":
        raise BadInput(f"--out {target} ends in .gguf, but --hf writes a folder; choose another name")
    with console.progress(f"writing {target.name}") as report:
        result = convert(
            checkpoint, target, to=to, force=force or out is None, progress=report, notify=console.warning
        )
    checks = "verified and run" if result.was_run else "verified"
    if as_json:
        console.json({"path": str(result.path), "checkpoint": str(checkpoint), "was_run": result.was_run})
    else:
        console.line(f"{result.path}: {result.n_bytes / 1e6:,.1f} MB from {checkpoint.name}, {checks}")


def _checkpoint(run: str, which: str | int) -> Path:
    """The checkpoint's folder. Raises BadInput if there is no such run."""
    from zeropoint.catalogue.local_names import no_run
    from zeropoint.weights.run_checkpoint import checkpoint_path, find_checkpoint, is_run

    for path in (Path(run).expanduser(), Path("runs") / run):
        if is_run(path):
            return checkpoint_path(path, which)
        if (checkpoint := find_checkpoint(path)) is not None:
            return checkpoint
    raise BadInput(no_run(run))


def _default_target(checkpoint: Path, suffix: str) -> Path:
    """RUN/export/NAME-step-000120, plus the suffix."""
    run = checkpoint.parent.parent
    folder = run / "export"
    folder.mkdir(exist_ok=True)
    return folder / f"{run.name}-{checkpoint.name}{suffix}"
