"""The models with a short name: `models.toml` as frozen entries, with every key and type checked."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from zeropoint import registry
from zeropoint.blueprint.toml_codec import decode, decode_value, refuse_unknown
from zeropoint.catalogue.source import DownloadSource, FileRequest
from zeropoint.catalogue.sources.hub_quant import HubQuantSource
from zeropoint.catalogue.sources.parts import Part, PartsSource
from zeropoint.errors import BadInput, choices
from zeropoint.files.toml_text import parse_toml
from zeropoint.frozen import frozen

__all__ = ["CatalogEntry", "ModelSizes", "default", "find", "known_names", "load", "read"]

_FILE = Path(__file__).with_name("models.toml")
_SOURCES = "zeropoint.catalogue.sources"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(:[a-z0-9][a-z0-9._-]*)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@frozen
class ModelSizes:
    """The sizes of a model, from which `plan` estimates memory and speed before any download.

    sliding_window: positions that a layer attends to, 0 for all; each layer of number `global_every` and its
    multiples attends to all.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_ff: int
    n_ctx: int
    n_vocab: int
    weight_bytes: int
    sliding_window: int = 0
    global_every: int = 0


@frozen
class CatalogEntry:
    """One model: its file, licence, recommended sampling, and sources in the order in which to try them.

    A model of `hub_quant` sources has no `file`, `n_bytes`, `sha256` and `blueprint`: the hub says which file
    it is, its size and its SHA-256, and the file's header has the sizes.
    """

    name: str
    description: str
    licence: str
    format: str
    sources: tuple[DownloadSource, ...]
    file: str | None = None
    n_bytes: int | None = None
    sha256: str | None = None
    blueprint: ModelSizes | None = None
    aliases: tuple[str, ...] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_pinned(self) -> bool:
        """Whether the catalogue says which bytes the file has."""
        return self.sha256 is not None

    @property
    def request(self) -> FileRequest:
        """The request to send to a source."""
        return FileRequest(self.file or "", self.n_bytes, self.sha256)


@functools.cache
def load() -> dict[str, CatalogEntry]:
    """The entries of `models.toml` by name; `find` also knows aliases."""
    return read(_FILE.read_text(encoding="utf-8"), _FILE.name)


def default() -> CatalogEntry:
    """The model to open if the user names none: the first entry."""
    return next(iter(load().values()))


def known_names() -> list[str]:
    """Every name and alias."""
    return [known for entry in load().values() for known in (entry.name, *entry.aliases)]


def find(name: str) -> CatalogEntry | None:
    """The entry with this name or alias, ignoring case; None if there is none."""
    lowered = name.lower()
    for entry in load().values():
        if lowered == entry.name or lowered in entry.aliases:
            return entry
    return None


def read(text: str, origin: str) -> dict[str, CatalogEntry]:
    """Parse the TOML text of a catalogue. Raises BadInput naming `origin`, the model and the key."""
    table = parse_toml(text, origin)
    refuse_unknown(table, {"model"}, origin)
    entries: dict[str, CatalogEntry] = {}
    used: set[str] = set()
    for position, raw in enumerate(table.get("model", []), start=1):
        entry = _entry(raw, f"{origin}, model {position}")
        for known in (entry.name, *entry.aliases):
            if known in used or not _NAME.fullmatch(known):
                raise BadInput(f"{origin}: the name `{known}` is malformed or used twice; choose another")
            used.add(known)
        entries[entry.name] = entry
    return entries


def _entry(raw: dict[str, Any], where: str) -> CatalogEntry:
    raw = dict(raw)
    sources = tuple(_source(item, f"{where}, source") for item in raw.pop("source", []))
    values = raw.pop("sampling", {}).items()
    sampling = {name: decode_value(int | float, value, where, f"sampling.{name}") for name, value in values}
    entry: CatalogEntry = decode(CatalogEntry, raw, where, ready={"sources": sources, "sampling": sampling})
    pinned = (entry.file, entry.n_bytes, entry.sha256, entry.blueprint)
    if not sources:
        raise BadInput(f"{where}: `source` is missing; give at least one")
    if all(value is None for value in pinned) and all(isinstance(s, HubQuantSource) for s in sources):
        return entry
    for key, value in zip(("file", "n_bytes", "sha256", "blueprint"), pinned, strict=True):
        if value is None:
            raise BadInput(f"{where}: `{key}` is missing; only a model of hub_quant sources may leave it out")
    if not _SHA256.fullmatch(entry.sha256 or ""):
        raise BadInput(f"{where}: `sha256` must be 64 lower-case hexadecimal digits")
    if (entry.n_bytes or 0) <= 0 or Path(entry.file or "").name != entry.file:
        raise BadInput(f"{where}: `n_bytes` must be above 0 and `file` a plain name")
    for source in sources:
        if isinstance(source, PartsSource) and source.n_bytes != entry.n_bytes:
            raise BadInput(
                f"{where}: the parts have {source.n_bytes:,} bytes, but `n_bytes` is {entry.n_bytes}"
            )
    return entry


def _source(raw: dict[str, Any], where: str) -> DownloadSource:
    raw = dict(raw)
    kind = raw.pop("kind", None)
    if kind not in registry.names(_SOURCES):
        raise BadInput(f"{where}: {choices('kind', kind, registry.names(_SOURCES))}")
    parts = [_part(part, f"{where}, part {number}") for number, part in enumerate(raw.pop("part", []), 1)]
    if kind == "parts" and not parts:
        raise BadInput(f"{where}: `part` is missing; give a [[model.source.part]] for each part")
    ready = {"parts": tuple(parts)}
    source: DownloadSource = decode(
        registry.load_class(_SOURCES, kind, DownloadSource), raw, where, ready=ready
    )
    return source


def _part(raw: dict[str, Any], where: str) -> Part:
    raw = dict(raw)
    numbers: dict[str, Any] = {name: raw.pop(name) for name in ("n_bytes", "sha256") if name in raw}
    part: Part = decode(Part, numbers, where, ready={"source": _source(raw, where)})
    if part.n_bytes <= 0 or not _SHA256.fullmatch(part.sha256):
        raise BadInput(f"{where}: `n_bytes` must be above 0, `sha256` 64 lower-case hexadecimal digits")
    return part
