"""Fingerprints of source files, to detect files that change after they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zeropoint.data.documents import find_sources
from zeropoint.errors import BadInput, DiskError
from zeropoint.files.hashing import sha256_of
from zeropoint.files.paths import display_path

__all__ = ["Fingerprint", "changed_sources", "check_unchanged", "fingerprints"]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A file's size in bytes, modification time and SHA-256 (hex) when it was read."""

    n_bytes: int
    mtime_ns: int
    sha256: str


def fingerprints(root: Path) -> dict[str, Fingerprint]:
    """The fingerprint of every source below `root`, by name. Raises BadInput naming an unreadable file."""
    return {source.name: _fingerprint(source.path) for source in find_sources(root)}


def changed_sources(root: Path, known: Mapping[str, Fingerprint], *, hash_all: bool = False) -> list[str]:
    """Names of sources that were changed, added or removed since `known` was taken.

    A file with the same size and modification time counts as unchanged, unless `hash_all` compares content.
    """
    paths = {source.name: source.path for source in find_sources(root)}
    changed = list(known.keys() ^ paths.keys())
    for name in known.keys() & paths.keys():
        old, info = known[name], paths[name].stat()
        is_touched = (info.st_size, info.st_mtime_ns) != (old.n_bytes, old.mtime_ns)
        has_same_size = info.st_size == old.n_bytes
        if (is_touched or hash_all) and not (
            has_same_size and _fingerprint(paths[name]).sha256 == old.sha256
        ):
            changed.append(name)
    return sorted(changed)


def check_unchanged(root: Path, known: Mapping[str, Fingerprint]) -> None:
    """Raise DiskError if a source changed since its fingerprint was taken, that is, while it was read."""
    if changed := changed_sources(root, known):
        raise DiskError(f"{changed[0]} of {display_path(root)} changed while it was read; start again")


def _fingerprint(path: Path) -> Fingerprint:
    try:
        info = path.stat()
        return Fingerprint(info.st_size, info.st_mtime_ns, sha256_of(path))
    except OSError as error:
        raise BadInput(f"{display_path(path)} cannot be read ({error.strerror}); check the file") from None
