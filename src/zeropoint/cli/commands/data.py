"""List, download and tokenize training data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import help_page
from zeropoint.cli.console import Console
from zeropoint.cli.names import data_names
from zeropoint.settings import Settings

if TYPE_CHECKING:
    from zeropoint.catalogue.datasets import DataSet
    from zeropoint.data.completion_loss import LossTargets
    from zeropoint.data.shards import Manifest

GROUP = "Train"
_EXAMPLES = """\b
Examples:
  zeropoint data list                                      the catalogue, and which sets are downloaded
  zeropoint data pull shakespeare                          download a data set
  zeropoint data show stories/                             count the documents in a folder
  zeropoint data prepare stories/ --out stories.shards --tokenizer bpe --vocab 4096
  zeropoint data show stories.shards --check               token counts, and verify every byte
"""
_pass_console = click.make_pass_decorator(Console, ensure=True)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_field = click.option(
    "--field",
    default="text",
    show_default=True,
    help="In JSON and Parquet files: the field that holds the text.",
)


@click.group("data", cls=help_page.Group, epilog=_EXAMPLES)
def command() -> None:
    """List, download and tokenize training data.

    Training data is a data set from the catalogue, or your own file or folder: .txt, .md, .jsonl, .json or
    .parquet. `zeropoint train` reads all of these directly; `prepare` tokenizes a large text in advance.
    """


@command.command("list")
@_json
@_pass_console
def list_data(console: Console, as_json: bool) -> None:
    """List the data sets of the catalogue."""
    from zeropoint.catalogue import datasets

    settings = Settings.read()
    rows: list[dict[str, Any]] = [
        {
            "name": data.name,
            "size_bytes": data.n_bytes,
            "licence": data.licence,
            "downloaded": datasets.is_local(data.name, settings=settings),
            "description": data.description,
        }
        for data in datasets.load().values()
    ]
    if as_json:
        console.json(rows)
        return
    console.table(
        ("name", "size", "licence", "downloaded", "description"),
        [
            (
                row["name"],
                _size(row["size_bytes"]),
                row["licence"],
                "yes" if row["downloaded"] else "no",
                row["description"],
            )
            for row in rows
        ],
    )


@command.command("pull")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=data_names)
@_pass_console
def pull(console: Console, names: tuple[str, ...]) -> None:
    """Download data sets by name.

    Prints the path of each file. The folder in ZEROPOINT_DATA is searched first. An interrupted download
    resumes, and every file is verified against its SHA-256.
    """
    from zeropoint.catalogue import datasets

    for name in names:
        with console.progress(f"fetching {name}") as report:
            files = datasets.fetch(name, settings=Settings.read(), progress=report, notice=console.notice)
        for path in files.values():
            console.line(str(path))


@command.command("show")
@click.argument("source", shell_complete=data_names)
@click.option(
    "--check",
    is_flag=True,
    help="For prepared data: read and verify every byte of it and of its source files.",
)
@_field
@_json
@_pass_console
def show(console: Console, source: str, check: bool, field: str, as_json: bool) -> None:
    """Describe a data set, file or folder.

    SOURCE is a data set name, a file, a folder of texts or a folder of shards.
    """
    from zeropoint.catalogue import datasets
    from zeropoint.data.prepare import is_prepared

    if source.lower() in datasets.load():
        facts = _catalogue_facts(datasets.find(source))
    elif is_prepared(Path(source)):
        facts = _folder_facts(Path(source), check)
    else:
        facts = _text_facts(source, field)
    if as_json:
        console.json(facts)
        return
    console.table(("property", "value"), list(_cells(facts)))


@command.command("prepare")
@click.argument("source", shell_complete=data_names)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write to.",
)
@click.option(
    "--tokenizer",
    default="bpe",
    show_default=True,
    help="How to split the text into tokens: characters, bpe (trained on this text) or a tokenizer.json.",
)
@click.option(
    "--vocab",
    type=int,
    default=4096,
    show_default=True,
    metavar="N",
    help="With bpe: how many different tokens to learn, at least 257.",
)
@click.option(
    "--validation",
    type=float,
    default=0.1,
    show_default=True,
    metavar="X",
    help="Share of the text to keep for validation, as in 0.1 for a tenth.",
)
@click.option(
    "--loss",
    type=click.Choice(["all", "completion"]),
    default="all",
    show_default=True,
    help="Learn to predict all tokens, or only the completions in prompt and completion pairs.",
)
@click.option(
    "--workers",
    type=int,
    metavar="N",
    help="Tokenize in N processes. Default: one per core for a large text, else one.",
)
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
    """Tokenize SOURCE once, so that training need not do it again.

    The result is a folder of shards: binary files of token ids, which `zeropoint train` reads like any other
    data. SOURCE is a data set name, a file or a folder. If the folder already contains shards of the same
    files with the same settings, nothing is done.
    """
    from zeropoint.data.corpus import find_data
    from zeropoint.data.prepare import prepare as prepared
    from zeropoint.data.tokenize import TokenizeOptions

    with console.progress(f"fetching {source}") as report:
        path = find_data(source, preferences=Settings.read(), progress=report, notice=console.notice)
    tokenize_options = TokenizeOptions(tokenizer, vocab, validation, field, loss)
    with console.progress(f"tokenizing {path.name}") as report:
        manifest = prepared(
            path, out, tokenize_options, workers=workers, progress=report, notice=console.notice
        )
    facts = {"path": str(out)} | _shard_facts(manifest)
    if as_json:
        console.json(facts)
        return
    console.line(
        f"{out}: {facts['training_tokens']:,} training tokens, {facts['validation_tokens']:,} validation "
        f"tokens, vocabulary of {facts['vocabulary_size']:,}"
    )


def _catalogue_facts(data: DataSet) -> dict[str, Any]:
    from zeropoint.catalogue import datasets

    return {
        "name": data.name,
        "description": data.description,
        "licence": data.licence,
        "size_bytes": data.n_bytes,
        "downloaded": datasets.is_local(data.name, settings=Settings.read()),
        "files": [{"name": file.file, "url": file.url, "sha256": file.sha256} for file in data.files],
    }


def _folder_facts(folder: Path, check: bool) -> dict[str, Any]:
    from zeropoint.data.fingerprints import changed_sources
    from zeropoint.data.shards import read_shards

    manifest = read_shards(folder, check=check)[0]
    settings = dict(manifest.settings)
    if "validation" in settings:
        settings["validation_share"] = settings.pop("validation")
    facts = {"path": str(folder)} | _shard_facts(manifest) | {"source": manifest.root, **settings}
    if Path(manifest.root).exists():
        modified = changed_sources(Path(manifest.root), manifest.sources, hash_all=check)
        facts["changed_files"] = list(modified)
    return facts | ({"verified": True} if check else {})


def _text_facts(source: str, field: str) -> dict[str, Any]:
    from zeropoint.data.corpus import find_data
    from zeropoint.data.tokenize import TokenizeOptions, scan_corpus

    corpus = scan_corpus(find_data(source, preferences=Settings.read()), TokenizeOptions(field=field))
    return {
        "path": str(corpus.root),
        "files": len(corpus.sources),
        "documents": corpus.n_documents,
        "characters": corpus.n_characters,
    }


def _shard_facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "vocabulary_size": manifest.n_vocab,
        "dtype": manifest.dtype_name,
        "training_tokens": manifest.train.n_tokens,
        "validation_tokens": manifest.validation.n_tokens,
        "training_documents": manifest.train.n_documents,
        "validation_documents": manifest.validation.n_documents,
        "shards": len(manifest.train.shards) + len(manifest.validation.shards),
        "source_files": len(manifest.sources),
        "sha256": manifest.sha256,
    }


def _cells(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of each fact as text; a downloaded file takes two rows."""
    for name, value in facts.items():
        if name == "files" and isinstance(value, list):
            for file in value:
                yield f"file {file['name']}", file["url"] or "included with zeropoint"
                yield "its sha256", file["sha256"] or "recorded on download"
        elif isinstance(value, list):
            yield name.replace("_", " "), ", ".join(value) or "none"
        elif isinstance(value, bool):
            yield name.replace("_", " "), "yes" if value else "no"
        else:
            yield name.replace("_bytes", "").replace("_", " "), _shown(name, value)


def _shown(name: str, value: Any) -> str:
    if name.endswith("_bytes"):
        return _size(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"
