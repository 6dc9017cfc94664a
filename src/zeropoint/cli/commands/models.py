"""List, download, inspect and remove models."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import help_page, licence_question
from zeropoint.cli.console import Console
from zeropoint.cli.names import model_names
from zeropoint.errors import BadModelFile
from zeropoint.settings import Settings

if TYPE_CHECKING:
    from zeropoint.catalogue.lookup import ModelInfo
    from zeropoint.planning.describe import Description

GROUP = "Use"
_EXAMPLES = """\b
Examples:
  zeropoint models list                      downloaded models and the catalogue
  zeropoint models pull smollm2:135m         download a catalogue model
  zeropoint models pull hf:owner/repo:q8     download from Hugging Face
  zeropoint models show smollm2:135m         details, without downloading
  zeropoint models remove smollm2:135m       delete it from this disk
"""
# The names of sizes in the output; those in our code are short.
_SIZE_NAMES = {
    "n_layers": "layers",
    "n_heads": "attention_heads",
    "n_kv_heads": "key_value_heads",
    "d_model": "width",
    "d_head": "head_width",
    "d_ff": "feed_forward_width",
    "n_ctx": "context_length",
    "n_vocab": "vocabulary_size",
}
_LICENCE_STATES = {None: "", True: " (accepted)", False: " (not accepted yet)"}
_pass_console = click.make_pass_decorator(Console, ensure=True)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_one = click.argument("name", required=True, shell_complete=model_names)
_many = click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=model_names)


@click.group("models", cls=help_page.Group, epilog=_EXAMPLES)
def command() -> None:
    """List, download, inspect and remove models.

    A model is named by its catalogue name (smollm2:135m), hf:owner/repo[:quant] for a Hugging Face
    repository, or the URL of a GGUF file. `show` also accepts local paths and models of other programs
    (ollama:name, lmstudio:name).
    """


@command.command("list")
@_json
@_pass_console
def list_models(console: Console, as_json: bool) -> None:
    """List downloaded models and the catalogue.

    In a pipe, each line has tab-separated name, size, licence, source and time of last use.
    """
    from zeropoint.catalogue import cache, catalog, licences

    settings = Settings.read()
    downloaded = {record.name: record for record in cache.records(settings)}
    rows: list[dict[str, Any]] = [
        {
            "name": record.name,
            "size_bytes": record.n_bytes,
            "licence": record.licence,
            "source": record.source,
            "last_used": time.strftime("%Y-%m-%d %H:%M", time.localtime(record.last_used_s)),
            "path": str(record.paths[0]),
        }
        for record in downloaded.values()
    ]
    for entry in catalog.load().values():
        if entry.name not in downloaded:
            row: dict[str, Any] = {"name": entry.name, "size_bytes": entry.n_bytes, "licence": entry.licence}
            rows.append(row | {"source": entry.sources[0].label, "last_used": None, "path": None})
    for row in rows:
        licence = licences.find(row["licence"])
        row["licence_accepted"] = licences.is_accepted(licence, settings) if licence else None
    if as_json:
        console.json(rows)
        return
    console.table(
        ("name", "size", "licence", "source", "last used"),
        [
            (
                row["name"],
                "unknown" if row["size_bytes"] is None else _size(row["size_bytes"]),
                (row["licence"] or "?") + _LICENCE_STATES[row["licence_accepted"]],
                row["source"],
                row["last_used"] or "not downloaded",
            )
            for row in rows
        ],
    )


@command.command("pull")
@_many
@click.option("--dry-run", is_flag=True, help="Show what would be downloaded, without downloading.")
@click.option(
    "--accept-licence",
    is_flag=True,
    help="Accept the licences of these models, which `models show` names, without a question.",
)
@_pass_console
def pull(console: Console, names: tuple[str, ...], dry_run: bool, accept_licence: bool) -> None:
    """Download or update models.

    Prints the path of each file. An interrupted download resumes, and every file is verified against its
    SHA-256. Some licences, such as the Gemma Terms of Use, must be accepted once before a download.
    """
    from zeropoint.catalogue import fetch

    settings = Settings.read()
    ask = licence_question.accept_licence if accept_licence else licence_question.ask_licence
    for name in names:
        if dry_run:
            info = fetch.lookup(name, settings=settings)
            console.line(f"{info.name}\t{_size(info.file_bytes)}\t{info.licence or '?'}\t{info.source}")
            continue
        with console.progress(f"fetching {name}") as report:
            model = fetch.resolve(
                name,
                settings=settings,
                progress=report,
                notice=console.notice,
                refresh=True,
                check=lambda info: _warn_if_unrunnable(info, console),
                ask_licence=ask(console),
            )
        console.line(str(model.path))


@command.command("show")
@_one
@click.option("--check", is_flag=True, help="Read the complete file and verify its SHA-256.")
@_json
@_pass_console
def show(console: Console, name: str, check: bool, as_json: bool) -> None:
    """Show the size, licence, source and architecture of a model, and whether zeropoint can run it.

    For a model that is not downloaded, at most the file header is read.
    """
    from zeropoint.catalogue import fetch
    from zeropoint.planning.describe import describe

    settings = Settings.read()
    if check:
        fetch.verify(name, settings=settings)
    facts = _facts(describe(name, settings=settings)) | ({"check": "SHA-256 matches"} if check else {})
    if as_json:
        console.json(facts)
        return
    shown = {name: value for name, value in facts.items() if name != "problem" or value is not None}
    console.table(
        ("property", "value"),
        [(name.removesuffix("_bytes").replace("_", " "), _shown(name, v)) for name, v in shown.items()],
    )


@command.command("remove")
@_many
@_pass_console
def remove(console: Console, names: tuple[str, ...]) -> None:
    """Delete downloaded models from this disk.

    Files in the Hugging Face cache are deleted through its library, and only if nothing else uses them. Local
    paths and models of other programs are never deleted.
    """
    from zeropoint.catalogue import fetch

    for name in names:
        freed = fetch.remove(name, settings=Settings.read(), notice=console.notice)
        console.notice(f"removed {name}, freeing {_size(freed)}")


def _warn_if_unrunnable(info: ModelInfo, console: Console) -> None:
    """Say before a download if zeropoint cannot run the file; another program may."""
    from zeropoint.planning.describe import check_header

    try:
        check_header(info)
    except BadModelFile as error:
        console.warning(str(error))


def _facts(model: Description) -> dict[str, Any]:
    """What the catalogue, or else the file header, says about a model."""
    import dataclasses

    from zeropoint.catalogue import licences

    info = model.info
    facts: dict[str, Any] = {
        "name": info.name,
        "size_bytes": info.file_bytes,
        "format": info.format,
        "licence": info.licence,
        "source": info.source,
        "revision": info.revision,
        "path": str(info.path) if info.path else None,
        "can_run": model.problem is None,
        "problem": model.problem,
        "architecture": model.architecture,
        "title": model.title,
        "context_length": model.n_ctx,
        "tensors": model.n_tensors,
        "sampling": dict(model.sampling) or None,
    }
    if licence := licences.find(info.licence):
        is_accepted = licences.is_accepted(licence, Settings.read())
        facts |= {"licence_url": licence.url, "licence_accepted": is_accepted}
    if info.entry is not None:
        facts["description"] = info.entry.description
    if info.entry is not None and info.entry.blueprint is not None:
        facts["sha256"] = info.entry.sha256
        sizes = dataclasses.asdict(info.entry.blueprint)
        facts |= {_SIZE_NAMES.get(name, name): size for name, size in sizes.items() if size}
    return facts


def _shown(name: str, value: Any) -> str:
    """A fact as a cell of a table."""
    if value is None:
        return "none recommended" if name == "sampling" else "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return _size(value) if name.endswith("_bytes") else str(value)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
