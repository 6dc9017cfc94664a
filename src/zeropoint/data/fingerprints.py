"""What files were when they were read, so that one that is changed later is seen."""

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
    """A file as it was read: size, time of its last change, sha256 in hex."""

    n_bytes: int
    mtime_ns: int
    sha256: str


def fingerprints(root: Path) -> dict[str, Fingerprint]:
    """Every source below `root`, by name. Raises BadInput naming a file that cannot be read."""
    return {source.name: _sum(source.path) for source in find_sources(root)}


def changed_sources(root: Path, known: Mapping[str, Fingerprint], *, whole: bool = False) -> list[str]:
    """Names of sources that are not what they were: changed, new or gone.

    A file of the same size and time is taken for the same, unless `whole` asks for every byte.
    """
    now = {source.name: source.path for source in find_sources(root)}
    odd = list(known.keys() ^ now.keys())
    for name in known.keys() & now.keys():
        was, info = known[name], now[name].stat()
        is_touched = (info.st_size, info.st_mtime_ns) != (was.n_bytes, was.mtime_ns)
        if (is_touched or whole) and (info.st_size != was.n_bytes or _sum(now[name]).sha256 != was.sha256):
            odd.append(name)
    return sorted(odd)


def check_unchanged(root: Path, known: Mapping[str, Fingerprint]) -> None:
    """Raise DiskError if a source was changed since its sum was taken, which is while it was read."""
    if odd := changed_sources(root, known):
        raise DiskError(f"{odd[0]} of {display_path(root)} was changed while it was read; start again")


def _sum(path: Path) -> Fingerprint:
    try:
        info = path.stat()
        return Fingerprint(info.st_size, info.st_mtime_ns, sha256_of(path))
    except OSError as error:
        raise BadInput(f"{display_path(path)} cannot be read ({error.strerror}); check the file") from None
