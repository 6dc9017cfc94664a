"""The short catalogue: `models.toml` read into frozen entries, every key and type checked."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from zeropoint import registry
from zeropoint.blueprint.toml_codec import decode, decode_value, parse, refuse_unknown
from zeropoint.catalogue.source import FileRequest, Source
from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen

__all__ = ["Entry", "Numbers", "default", "find", "known_names", "load", "read"]

_FILE = Path(__file__).with_name("models.toml")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(:[a-z0-9][a-z0-9._-]*)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@frozen
class Numbers:
    """The sizes from which memory and speed are planned before any download."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_ff: int
    n_ctx: int
    n_vocab: int
    weight_bytes: int


@frozen
class Entry:
    """One model of the catalogue: its one file, what it may be used for, and where to get it, in order."""

    name: str
    description: str
    licence: str
    file: str
    format: str
    n_bytes: int
    sha256: str
    blueprint: Numbers
    sources: tuple[Source, ...]
    aliases: tuple[str, ...] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)

    @property
    def want(self) -> FileRequest:
        """The file as a source is asked for it."""
        return FileRequest(self.file, self.n_bytes, self.sha256)


@functools.cache
def load() -> dict[str, Entry]:
    """The catalogue of this package, by name (aliases are in `find`)."""
    return read(_FILE.read_text(encoding="utf-8"), _FILE.name)


def default() -> Entry:
    """The model that is opened when none is named: the first of the catalogue."""
    return next(iter(load().values()))


def known_names() -> list[str]:
    """Every name and alias of the catalogue."""
    return [known for entry in load().values() for known in (entry.name, *entry.aliases)]


def find(name: str) -> Entry | None:
    """The entry that has this name or alias; case does not matter."""
    wanted = name.lower()
    for entry in load().values():
        if wanted == entry.name or wanted in entry.aliases:
            return entry
    return None


def read(text: str, origin: str) -> dict[str, Entry]:
    """Parse the TOML `text` of a catalogue. Raises BadInput naming `origin`, the model and the key."""
    table = parse(text, origin)
    refuse_unknown(table, {"model"}, origin)
    entries: dict[str, Entry] = {}
    taken: set[str] = set()
    for position, raw in enumerate(table.get("model", []), start=1):
        entry = _entry(raw, f"{origin}, model {position}")
        for known in (entry.name, *entry.aliases):
            if known in taken or not _NAME.fullmatch(known):
                raise BadInput(f"{origin}: the name `{known}` is malformed or used twice; choose another")
            taken.add(known)
        entries[entry.name] = entry
    return entries


def _entry(raw: dict[str, Any], where: str) -> Entry:
    raw = dict(raw)
    sources = tuple(_source(item, f"{where}, source") for item in raw.pop("source", []))
    values = raw.pop("sampling", {}).items()
    sampling = {name: decode_value(int | float, value, where, f"sampling.{name}") for name, value in values}
    entry: Entry = decode(Entry, raw, where, ready={"sources": sources, "sampling": sampling})
    if not _SHA256.fullmatch(entry.sha256):
        raise BadInput(f"{where}: `sha256` is not 64 lower-case hexadecimal digits")
    if entry.n_bytes <= 0 or not sources or Path(entry.file).name != entry.file:
        raise BadInput(f"{where}: needs `n_bytes` above 0, a plain `file` name and at least one source")
    return entry


def _source(raw: dict[str, Any], where: str) -> Source:
    raw = dict(raw)
    package = "zeropoint.catalogue.sources"
    kind = raw.pop("kind", None)
    if kind not in registry.names(package):
        raise BadInput(f"{where}: {choices('kind', kind, registry.names(package))}")
    source: Source = decode(registry.load(package, kind).Source, raw, where)
    return source
