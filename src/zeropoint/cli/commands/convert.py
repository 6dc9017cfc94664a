"""Convert a model: GGUF to a Hugging Face folder, a folder to GGUF, or either to another number format.

Before the result takes its name it is loaded, every tensor is compared with the source, and both are run: a
GGUF decoder by the native engine, all else by torch where that is installed.
"""

from __future__ import annotations

from pathlib import Path

import click

from zeropoint import registry
from zeropoint.cli.completion import model_names
from zeropoint.cli.console import Console

_EXAMPLES = """\b
Examples:
  zeropoint convert smollm2:135m smollm2/              a Hugging Face folder, in F32
  zeropoint convert smollm2:135m smollm2/ --to BF16    half the size
  zeropoint convert folder/ model.gguf --to Q8_0       a folder to a quantised GGUF
  zeropoint convert model.gguf small.gguf --to Q4_0    another number format
"""
_FORMATS = [name.upper() for name in registry.names("zeropoint.formats")]


@click.command("convert", epilog=_EXAMPLES)
@click.argument("source", shell_complete=model_names)
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--to", metavar="FORMAT", help=f"Number format of matrices: {', '.join(_FORMATS)}.")
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
@click.option(
    "--allow-pickle",
    is_flag=True,
    help="Read a folder's pickled PyTorch weights with torch's restricted loader. Only for files you trust.",
)
@click.option(
    "--shard-size",
    type=click.FloatRange(min=0.001),
    default=5.0,
    metavar="GB",
    help="Largest weight file of a folder, in gigabytes. Default: 5.",
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
    """Convert SOURCE to TARGET: a GGUF file if it ends in .gguf, else a folder."""
    from zeropoint.convert.convert import convert

    path = _path_of(source, console)
    with console.progress(f"writing {target.name}") as report:
        made = convert(
            path,
            target,
            to=to,
            force=force,
            allow_pickle=allow_pickle,
            shard_bytes=int(shard_size * 1e9),
            progress=report,
            notify=console.notice,
        )
    if as_json:
        console.json(
            {
                "path": str(made.path),
                "file_bytes": made.n_bytes,
                "formats": made.formats,
                "was_run": made.was_run,
            }
        )
        return
    parts = ", ".join(f"{count} {form}" for form, count in sorted(made.formats.items()))
    checked = "read again and run" if made.was_run else "read again"
    console.line(f"{made.path}: {made.n_bytes / 1e6:,.1f} MB ({parts} tensors), {checked}")


def _path_of(source: str, console: Console) -> Path:
    """A path as it is; any other name as everywhere, fetched if need be."""
    if (path := Path(source).expanduser()).exists():
        return path
    from zeropoint.catalogue.fetch import resolve

    with console.progress(f"fetching {source}") as report:
        return resolve(source, progress=report, notice=console.notice).path
