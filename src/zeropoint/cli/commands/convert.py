"""Convert a model to another file format or number format.

The command writes to a temporary name, verifies the result, and only then renames it. It loads the result,
compares every tensor and the token ids of many texts with the source, and runs both models: GGUF decoders in
the native engine, others in torch if that is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from zeropoint import registry
from zeropoint.cli import help_page, licence_question
from zeropoint.cli.console import Console
from zeropoint.cli.names import format_names, model_names

GROUP = "Use"
_EXAMPLES = """\b
Examples:
  zeropoint convert smollm2:135m smollm2/              to a Hugging Face folder, in F32
  zeropoint convert smollm2:135m smollm2/ --to BF16    half the size
  zeropoint convert folder/ model.gguf --to Q8_0       from a folder to a quantised GGUF
  zeropoint convert model.gguf small.gguf --to Q4_0    to another number format
"""
_FORMATS = [name.upper() for name in registry.names("zeropoint.formats")]


@click.command("convert", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("source", shell_complete=model_names)
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--to",
    metavar="FORMAT",
    help=f"How to store the weights, as in Q8_0: {', '.join(_FORMATS)}. Default: unchanged.",
    shell_complete=format_names,
)
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
@click.option(
    "--allow-pickle",
    is_flag=True,
    help="Also read weights in PyTorch's pickle format (.bin, .pt), with torch's restricted loader. Only for "
    "files you trust.",
)
@click.option(
    "--shard-size",
    type=click.FloatRange(min=0.001),
    default=5.0,
    metavar="GB",
    help="With a folder: split the weights into files of at most this size, in GB. Default: 5.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    source: str,
    target: Path,
    to: str | None,
    force: bool,
    allow_pickle: bool,
    shard_size: float,
    as_json: bool,
) -> None:
    """Convert SOURCE to TARGET: a GGUF file if TARGET ends in .gguf, else a Hugging Face folder.

    SOURCE is a path or a model name, which is downloaded if necessary.
    """
    from zeropoint.convert.convert import check_target, convert

    check_target(target, to, force)  # before anything is downloaded
    path, sampling = _resolve(source, console)
    with console.progress(f"writing {target.name}") as report:
        result = convert(
            path,
            target,
            to=to,
            force=force,
            allow_pickle=allow_pickle,
            shard_bytes=int(shard_size * 1e9),
            sampling=sampling,
            progress=report,
            notify=console.warning,
        )
    if as_json:
        console.json(
            {
                "path": str(result.path),
                "size_bytes": result.n_bytes,
                "tensors_by_format": result.formats,
                "was_run": result.was_run,
            }
        )
        return
    parts = ", ".join(f"{count} {form}" for form, count in sorted(result.formats.items()))
    checks = "verified and run" if result.was_run else "verified"
    console.line(f"{result.path}: {result.n_bytes / 1e6:,.1f} MB ({parts} tensors), {checks}")


def _resolve(source: str, console: Console) -> tuple[Path, Mapping[str, float]]:
    """The source as a path, and the sampling that the catalogue recommends; downloaded if necessary."""
    if (path := Path(source).expanduser()).exists():
        return path, {}
    from zeropoint.catalogue.fetch import resolve

    with console.progress(f"fetching {source}") as report:
        model = resolve(
            source,
            progress=report,
            notice=console.notice,
            ask_licence=licence_question.ask_licence(console),
        )
    return model.path, model.entry.sampling if model.entry is not None else {}
