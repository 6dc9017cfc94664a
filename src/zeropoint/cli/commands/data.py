"""List, fetch and prepare texts to train on.

A text is a data set of the catalogue, or a file or folder of your own: .txt, .md, .jsonl, .json or .parquet.
`zeropoint train` takes all of them as they are; `prepare` does the work beforehand, where it is much.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli.console import Console
from zeropoint.settings import Settings

if TYPE_CHECKING:
    from zeropoint.catalogue.datasets import DataSet
    from zeropoint.data.completion_loss import LossTargets
    from zeropoint.data.shards import Manifest

_EXAMPLES = """\b
Examples:
  zeropoint data list                                      what has a name, and what of it is here
  zeropoint data pull shakespeare                          fetch a data set
  zeropoint data show stories/                             how many documents a folder holds
  zeropoint data prepare stories/ --out stories.shards --tokenizer bpe --vocab 4096
  zeropoint data show stories.shards --check               tokens, shards, and that every byte is right
"""
_pass_console = click.make_pass_decorator(Console, ensure=True)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_field = click.option(
    "--field", default="text", show_default=True, help="Of JSON and Parquet: the field with the text."
)


@click.group("data", epilog=_EXAMPLES)
def command() -> None:
    """List, fetch and prepare texts to train on."""


@command.command("list")
@_json
@_pass_console
def list_data(console: Console, as_json: bool) -> None:
    """List the data sets that have a name, and say which are here."""
    from zeropoint.catalogue import datasets

    settings = Settings.read()
    rows: list[dict[str, Any]] = [
        {
            "name": data.name,
            "n_bytes": data.n_bytes,
            "licence": data.licence,
            "is_here": datasets.is_local(data.name, settings=settings),
            "description": data.description,
        }
        for data in datasets.load().values()
    ]
    if as_json:
        console.json(rows)
        return
    console.table(
        ("name", "size", "licence", "here", "what it is"),
        [
            (
                row["name"],
                _size(row["n_bytes"]),
                row["licence"],
                "yes" if row["is_here"] else "no",
                row["description"],
            )
            for row in rows
        ],
    )


@command.command("pull")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_pass_console
def pull(console: Console, names: tuple[str, ...]) -> None:
    """Fetch data sets by name, and print where their files are.

    The folder that ZEROPOINT_DATA names is looked in first. An interrupted download goes on where it was, and
    every file is checked against its sha256.
    """
    from zeropoint.catalogue import datasets

    for name in names:
        with console.progress(f"fetching {name}") as report:
            found = datasets.fetch(name, settings=Settings.read(), progress=report, notice=console.notice)
        for path in found.values():
            console.line(str(path))


@command.command("show")
@click.argument("source")
@click.option(
    "--check", is_flag=True, help="Of shards: read every byte of them and of what they were made of."
)
@_field
@_json
@_pass_console
def show(console: Console, source: str, check: bool, field: str, as_json: bool) -> None:
    """Show what a name, a file, a folder of texts or a folder of shards holds."""
    from zeropoint.catalogue import datasets
    from zeropoint.data.prepare import is_prepared

    if source.lower() in datasets.load():
        facts = _named(datasets.find(source))
    elif is_prepared(Path(source)):
        facts = _shards(Path(source), check)
    else:
        facts = _texts(source, field)
    if as_json:
        console.json(facts)
        return
    console.table(("what", "value"), list(facts.items()))


@command.command("prepare")
@click.argument("source")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the shards.")
@click.option(
    "--tokenizer",
    default="bpe",
    show_default=True,
    help="characters, bpe (trained on the text), or the path of a tokenizer.json.",
)
@click.option("--vocab", type=int, default=4096, show_default=True, help="With bpe: tokens, 257 or more.")
@click.option("--validation", type=float, default=0.1, show_default=True, help="Share that is held out.")
@click.option(
    "--loss",
    type=click.Choice(["all", "completion"]),
    default="all",
    show_default=True,
    help="Tokens that the loss covers: all, or only the completion of each prompt.",
)
@click.option("--workers", type=int, help="Processes; by default one a core, if it is much text.")
@_field
@_json
@_pass_console
def prepare(
    console: Console,
    /,
    source: str,
    out: Path,
    tokenizer: str,
    vocab: int,
    validation: float,
    loss: LossTargets,
    workers: int | None,
    field: str,
    as_json: bool,
) -> None:
    """Tokenise SOURCE into a folder of shards that `train` maps into memory.

    SOURCE is a name of the catalogue, a file or a folder. The result does not depend on the number of
    processes. A folder that was made of the same files in the same way is left as it is.
    """
    from zeropoint.data.corpus import find_data
    from zeropoint.data.prepare import prepare as prepared
    from zeropoint.data.tokenize import TokenizeOptions as Tokenising

    with console.progress(f"fetching {source}") as report:
        path = find_data(source, preferences=Settings.read(), progress=report, notice=console.notice)
    how = Tokenising(tokenizer, vocab, validation, field, loss)
    with console.progress(f"tokenising {path.name}") as report:
        manifest = prepared(path, out, how, workers=workers, progress=report, notice=console.notice)
    facts = {"path": str(out)} | _held(manifest)
    if as_json:
        console.json(facts)
        return
    console.line(
        f"{out}: {facts['n_train']:,} tokens to learn from, {facts['n_validation']:,} held out,"
        f" a vocabulary of {facts['n_vocab']:,}"
    )


def _named(data: DataSet) -> dict[str, Any]:
    from zeropoint.catalogue import datasets

    facts = {
        "name": data.name,
        "description": data.description,
        "licence": data.licence,
        "n_bytes": data.n_bytes,
    }
    facts["is_here"] = datasets.is_local(data.name, settings=Settings.read())
    for file in data.files:
        facts |= {
            file.file: file.url or "comes with zeropoint",
            f"{file.file}, sha256": file.sha256 or "noted when it comes",
        }
    return facts


def _shards(folder: Path, check: bool) -> dict[str, Any]:
    from zeropoint.data.fingerprints import changed_sources
    from zeropoint.data.shards import read_shards

    manifest = read_shards(folder, check=check)[0]
    facts = {"path": str(folder)} | _held(manifest) | {"made_of": manifest.root, **dict(manifest.settings)}
    if Path(manifest.root).exists():
        odd = changed_sources(Path(manifest.root), manifest.sources, whole=check)
        facts["changed_since"] = ", ".join(odd) or "nothing"
    return facts | ({"check": "every byte is right"} if check else {})


def _texts(source: str, field: str) -> dict[str, Any]:
    from zeropoint.data.corpus import find_data
    from zeropoint.data.tokenize import TokenizeOptions as Tokenising
    from zeropoint.data.tokenize import scan_corpus

    found = scan_corpus(find_data(source, preferences=Settings.read()), Tokenising(field=field))
    return {
        "path": str(found.root),
        "n_files": len(found.sources),
        "n_documents": found.n_documents,
        "n_characters": found.n_characters,
    }


def _held(manifest: Manifest) -> dict[str, Any]:
    return {
        "n_vocab": manifest.n_vocab,
        "dtype": manifest.dtype,
        "n_train": manifest.train.n_tokens,
        "n_validation": manifest.validation.n_tokens,
        "n_train_documents": manifest.train.n_documents,
        "n_validation_documents": manifest.validation.n_documents,
        "n_shards": len(manifest.train.shards) + len(manifest.validation.shards),
        "n_sources": len(manifest.sources),
        "sha256": manifest.sha256,
    }


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"
