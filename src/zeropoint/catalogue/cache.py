"""What is on this disk: a folder a model under `models/`, each with a `record.json` that says what it holds.

A record names the files with sha256, size, time and inode as they were when verified, so that a start needs
no second look at 100 MB or 10 GB; a file that has changed since is hashed again. Files that came from the
hub stay in the hub library's cache and are only named here. A record's own time is the model's last use.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Notice
from zeropoint.catalogue.source import FetchedFile
from zeropoint.errors import BadInput, DiskError
from zeropoint.files.hashing import sha256_of
from zeropoint.files.locks import exclusive_lock
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = [
    "Kept",
    "Record",
    "check",
    "folder_of",
    "hold",
    "home",
    "is_intact",
    "load",
    "record_of",
    "records",
    "remove",
    "save",
]

_VERSION = 1
_RECORD = "record.json"


@frozen
class Kept:
    """One verified file: its path (relative to the record, if it lies there) and how it was then."""

    path: str
    n_bytes: int
    mtime_ns: int
    inode: int
    sha256: str


@frozen
class Record:
    """One model on this disk. `repo` is the hub repository whose cache holds its files, if one does."""

    name: str
    source: str
    revision: str | None
    repo: str | None
    licence: str | None
    files: tuple[Kept, ...]
    folder: Path = Path()
    last_used_s: float = 0.0

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its files, in order."""
        return tuple(self.folder / kept.path for kept in self.files)

    @property
    def n_bytes(self) -> int:
        """The size of its files."""
        return sum(kept.n_bytes for kept in self.files)


def home(settings: Settings) -> Path:
    """The folder of all that can be fetched or computed again: ZEROPOINT_HOME or the user's cache."""
    if given := settings.get("home").value:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("zeropoint", appauthor=False))


def folder_of(settings: Settings, name: str) -> Path:
    """The folder of a model by its full name; names that a file system would mix up get different ones."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip(".-")[:80]
    if name.replace(":", "-") != plain:
        import hashlib  # brings OpenSSL, which costs a start without it time and 3 MB

        plain += "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return home(settings) / "models" / plain


@contextlib.contextmanager
def hold(folder: Path, activity: str, notice: Notice) -> Iterator[None]:
    """Hold the lock of a cache folder; wait if another process has it, with a notice that names it.

    activity: what is going on, for the notice ("smollm2:135m is being fetched"). Raises DiskError.
    """
    download_files.create_folder(folder.parent / ".locks")  # outside, so that the holder can remove `folder`
    path = folder.parent / ".locks" / f"{folder.name}.lock"
    with exclusive_lock(
        path, lambda holder: notice(f"{activity} by {holder}; waiting for it"), download_files.OTHER_HOME
    ):
        yield


def record_of(
    folder: Path, name: str, source: str, licence: str | None, files: Sequence[FetchedFile]
) -> Record:
    """The record of verified files as the model `name`; not on disk until it is saved. Raises: DiskError."""
    kept = tuple(_kept(folder, item.path, item.sha256) for item in files)
    return Record(name, source, files[0].revision, files[0].repo, licence, kept, folder)


def save(record: Record) -> None:
    """Write a record to its folder, whole or not at all. Raises: DiskError."""
    raw = dataclasses.asdict(record)
    del raw["folder"], raw["last_used_s"]
    from zeropoint.files.atomic_write import replace_file  # most starts write nothing

    text = json.dumps({"version": _VERSION} | raw, indent=1, ensure_ascii=False)
    content = text.encode("utf-8", errors="surrogateescape")
    replace_file(record.folder / _RECORD, content, download_files.OTHER_HOME)


def load(folder: Path) -> Record | None:
    """The record in `folder`; None if there is none that can be understood."""
    path = folder / _RECORD
    try:
        raw = json.loads(path.read_bytes())
        if raw.pop("version") != _VERSION:
            return None
        files = tuple(Kept(**item) for item in raw.pop("files"))
        record = Record(**raw, files=files, folder=folder, last_used_s=path.stat().st_mtime)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return record if files and all(type(kept.path) is str for kept in files) else None


def records(settings: Settings) -> Iterator[Record]:
    """Every model on this disk that was fetched by us, by name. Raises: DiskError."""
    folder = home(settings) / "models"
    try:
        found = [load(path) for path in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise download_files.disk_error(error, folder) from None
    yield from sorted((record for record in found if record is not None), key=lambda record: record.name)


def is_intact(record: Record) -> bool:
    """Whether all files are as they were verified; notes the use.

    A file of the right size whose time or inode differs (a copied cache) is hashed and, if right, noted.
    """
    if all(_is_untouched(path, kept) for path, kept in zip(record.paths, record.files, strict=True)):
        with contextlib.suppress(OSError):  # the cache may be read-only
            os.utime(record.folder / _RECORD)
        return True
    if not check(record):
        return False
    kept = tuple(
        _kept(record.folder, path, kept.sha256) for path, kept in zip(record.paths, record.files, strict=True)
    )
    with contextlib.suppress(DiskError, BadInput):
        save(dataclasses.replace(record, files=kept))
    return True


def check(record: Record) -> bool:
    """Whether every byte is as it was: sizes and sha256 of all files, computed now."""
    try:
        return all(
            path.stat().st_size == kept.n_bytes and sha256_of(path) == kept.sha256
            for path, kept in zip(record.paths, record.files, strict=True)
        )
    except OSError:
        return False


def remove(folder: Path) -> int:
    """Remove a model's folder with all that is in it (its lock must be held); returns the bytes freed."""
    try:
        freed = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
        shutil.rmtree(folder)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise download_files.disk_error(error, folder) from None
    return freed


def _kept(folder: Path, path: Path, sha256: str) -> Kept:
    try:
        info = path.stat()
    except OSError as error:
        raise download_files.disk_error(error, path) from None
    name = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path.absolute())
    return Kept(name, info.st_size, info.st_mtime_ns, info.st_ino, sha256)


def _is_untouched(path: Path, kept: Kept) -> bool:
    try:
        info = path.stat()
    except (OSError, ValueError):
        return False
    return (info.st_size, info.st_mtime_ns, info.st_ino) == (kept.n_bytes, kept.mtime_ns, kept.inode)
