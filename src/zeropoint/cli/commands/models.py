"""List, fetch, show and remove models.

A model is a name of the catalogue, hf:owner/repo[:quant], or the address of a GGUF file; `show` takes
paths and the models of other programs (ollama:name, lmstudio:name) too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli.completion import model_names
from zeropoint.cli.console import Console
from zeropoint.settings import Settings

if TYPE_CHECKING:
    from zeropoint.catalogue.lookup import ModelInfo

_EXAMPLES = """\b
Examples:
  zeropoint models list                      what is here, and what the catalogue has
  zeropoint models pull smollm2:135m         fetch a model of the catalogue
  zeropoint models pull hf:owner/repo:q8     fetch from a Hugging Face repository
  zeropoint models show smollm2:135m         size, licence, source and shape, before any download
  zeropoint models remove smollm2:135m       free the space
"""
_pass_console = click.make_pass_decorator(Console, ensure=True)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_one = click.argument("name", required=True, shell_complete=model_names)
_many = click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=model_names)


@click.group("models", epilog=_EXAMPLES)
def command() -> None:
    """List, fetch, show and remove models."""


@command.command("list")
@_json
@_pass_console
def list_models(console: Console, as_json: bool) -> None:
    """List what is here, and what the catalogue has.

    In a pipe: tab-separated name, size, licence, source and last use.
    """
    from zeropoint.catalogue import cache, catalog

    here = {record.name: record for record in cache.records(Settings.read())}
    rows: list[dict[str, Any]] = [
        {
            "name": record.name,
            "n_bytes": record.n_bytes,
            "licence": record.licence,
            "source": record.source,
            "last_used": time.strftime("%Y-%m-%d %H:%M", time.localtime(record.last_used_s)),
            "path": str(record.paths[0]),
        }
        for record in here.values()
    ]
    for entry in catalog.load().values():
        if entry.name not in here:
            row = {"name": entry.name, "n_bytes": entry.n_bytes, "licence": entry.licence}
            rows.append(row | {"source": entry.sources[0].label, "last_used": None, "path": None})
    if as_json:
        console.json(rows)
        return
    console.table(
        ("name", "size", "licence", "source", "last use"),
        [
            (
                row["name"],
                _size(row["n_bytes"]),
                row["licence"] or "?",
                row["source"],
                row["last_used"] or "not here",
            )
            for row in rows
        ],
    )


@command.command("pull")
@_many
@click.option("--dry-run", is_flag=True, help="Say what would be fetched, and fetch nothing.")
@_pass_console
def pull(console: Console, names: tuple[str, ...], dry_run: bool) -> None:
    """Fetch models, or what is newest of them.

    Prints where each file is. An interrupted download goes on where it was, and every file is checked
    against its sha256.
    """
    from zeropoint.catalogue import fetch

    settings = Settings.read()
    for name in names:
        if dry_run:
            found = fetch.lookup(name, settings=settings)
            console.line(f"{found.name}\t{_size(found.file_bytes)}\t{found.licence or '?'}\t{found.source}")
            continue
        with console.progress(f"fetching {name}") as report:
            model = fetch.resolve(
                name, settings=settings, progress=report, notice=console.notice, refresh=True
            )
        console.line(str(model.path))


@command.command("show")
@_one
@click.option("--check", is_flag=True, help="Read the whole file and compare its sha256.")
@_json
@_pass_console
def show(console: Console, name: str, check: bool, as_json: bool) -> None:
    """Show size, licence, source and shape.

    Of a model that is not here, its header at most is read.
    """
    from zeropoint.catalogue import fetch

    settings = Settings.read()
    if check:
        fetch.verify(name, settings=settings)
    facts = _facts(fetch.lookup(name, settings=settings)) | ({"check": "sha256 is right"} if check else {})
    if as_json:
        console.json(facts)
        return
    shown = facts | {"n_bytes": _size(facts["n_bytes"])}
    console.table(("what", "value"), [(key, "?" if value is None else value) for key, value in shown.items()])


@command.command("remove")
@_many
@_pass_console
def remove(console: Console, names: tuple[str, ...]) -> None:
    """Remove fetched models from this disk.

    Files in the Hugging Face cache are removed through its own library, and only if nothing else uses
    them. Paths and the models of other programs are never touched.
    """
    from zeropoint.catalogue import fetch

    for name in names:
        freed = fetch.remove(name, settings=Settings.read(), notice=console.notice)
        console.notice(f"removed {name}: {_size(freed)} freed")


def _facts(found: ModelInfo) -> dict[str, Any]:
    """What is known of a model: from the catalogue, or else from the first bytes of its file."""
    import dataclasses

    from zeropoint.weights.gguf.reader import open_gguf, parse_header

    facts: dict[str, Any] = {
        "name": found.name,
        "n_bytes": found.file_bytes,
        "format": found.format,
        "licence": found.licence,
        "source": found.source,
        "revision": found.revision,
        "path": str(found.path) if found.path else None,
    }
    header = open_gguf(found.path) if found.path else found.header(parse_header)
    if header is not None:
        general = {key: header.metadata.get(f"general.{key}") for key in ("architecture", "name", "license")}
        facts |= {"architecture": general["architecture"], "title": general["name"]}
        facts["licence"] = facts["licence"] or general["license"]
        facts["n_ctx"] = header.metadata.get(f"{general['architecture']}.context_length")
        facts["n_tensors"] = len(header.tensors)
    if found.entry is not None:
        facts |= {"description": found.entry.description, "sha256": found.entry.sha256}
        facts |= dataclasses.asdict(found.entry.blueprint) | {"sampling": dict(found.entry.sampling)}
    return facts


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
