"""The models on this disk: one folder per model under `models/`, each with a `record.json`.

A record lists the files with SHA-256, size, modification time and inode at the time of verification, so that
opening a model does not hash 100 MB or 10 GB again; a file that changed since is hashed once more. Files from
Hugging Face stay in that library's cache and are only listed here. The modification time of the record is the
time of last use.
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
from zeropoint.files.hashing import combined_sha256, sha256_of
from zeropoint.files.json_text import read_json
from zeropoint.files.locks import exclusive_lock, lock_holder
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = [
    "CachedFile",
    "Record",
    "folder_of",
    "held",
    "hold",
    "home",
    "is_intact",
    "load",
    "make_record",
    "records",
    "remove",
    "save",
    "verify",
]

_VERSION = 1
_RECORD = "record.json"
_MAX_RECORD_BYTES = 4 << 20
_LOCKS = ".locks"


@frozen
class CachedFile:
    """A verified file: its path, relative to the record if it is inside its folder, and its state."""

    path: str
    n_bytes: int
    mtime_ns: int
    inode: int
    sha256: str


@frozen
class Record:
    """A model on this disk. `repo`: the Hugging Face repository whose cache holds the files, if any."""

    name: str
    source: str
    revision: str | None
    repo: str | None
    licence: str | None
    files: tuple[CachedFile, ...]
    folder: Path = Path()
    last_used_s: float = 0.0

    @property
    def paths(self) -> tuple[Path, ...]:
        """The model's files, in order of shards."""
        return tuple(self.folder / file.path for file in self.files)

    @property
    def n_bytes(self) -> int:
        """The total size of the files."""
        return sum(file.n_bytes for file in self.files)


def home(settings: Settings) -> Path:
    """The folder of everything that can be downloaded or computed again: ZEROPOINT_HOME or the user cache."""
    if folder := settings.get("home").value:
        return Path(folder).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("zeropoint", appauthor=False))


def folder_of(settings: Settings, name: str) -> Path:
    """The folder of a model by its full name; names that differ only in case or punctuation stay apart."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip(".-")[:80]
    if name.replace(":", "-") != plain:
        plain += "-" + combined_sha256(name)[:8]
    return home(settings) / "models" / plain


@contextlib.contextmanager
def hold(folder: Path, activity: str, notice: Notice) -> Iterator[None]:
    """Hold the lock of a cache folder; wait if another process has it, with a notice that names it.

    activity: what is going on, for the notice ("smollm2:135m is being fetched"). Raises DiskError.
    """
    download_files.create_folder(folder.parent / _LOCKS)  # outside, so that the holder can remove `folder`
    path = folder.parent / _LOCKS / f"{folder.name}.lock"
    with exclusive_lock(
        path, lambda holder: notice(f"{activity} by {holder}; waiting for it"), download_files.OTHER_HOME
    ):
        yield


def held(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """What processes are doing in the cache now: (activity, name, process).

    A model that is not in the catalogue has the name of its folder.
    """
    from zeropoint.catalogue import catalog  # only `zeropoint ps` asks

    names = {folder_of(settings, name).name: name for name in catalog.load()}
    activities = {"models": "download", "data": "download", "prepared": "tokenizing"}
    for kind, activity in activities.items():
        for path in sorted((home(settings) / kind / _LOCKS).glob("*.lock")):
            if (holder := lock_holder(path)) is not None:
                yield activity, names.get(path.stem, path.stem) if kind == "models" else path.stem, holder


def make_record(
    folder: Path, name: str, source: str, licence: str | None, files: Sequence[FetchedFile]
) -> Record:
    """A record of verified files as the model `name`, to be stored with `save`. Raises DiskError."""
    cached = tuple(_cached_file(folder, file.path, file.sha256) for file in files)
    return Record(name, source, files[0].revision, files[0].repo, licence, cached, folder)


def save(record: Record) -> None:
    """Write a record to its folder atomically. Raises DiskError."""
    raw = dataclasses.asdict(record)
    del raw["folder"], raw["last_used_s"]
    from zeropoint.files.atomic_write import replace_file  # most starts write nothing

    text = json.dumps({"version": _VERSION} | raw, indent=1, ensure_ascii=False)
    content = text.encode("utf-8", errors="surrogateescape")
    replace_file(record.folder / _RECORD, content, download_files.OTHER_HOME)


def load(folder: Path) -> Record | None:
    """The record in `folder`; None if it is missing, damaged or of another version."""
    path = folder / _RECORD
    try:
        raw = read_json(path, _MAX_RECORD_BYTES)
        if raw.pop("version") != _VERSION:
            return None
        files = tuple(CachedFile(**item) for item in raw.pop("files"))
        record = Record(**raw, files=files, folder=folder, last_used_s=path.stat().st_mtime)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadInput):
        return None
    return record if files and _has_valid_types(record) else None


def _has_valid_types(record: Record) -> bool:
    names = (record.name, record.source)
    optional = (record.revision, record.repo, record.licence)
    return (
        all(type(value) is str for value in names)
        and all(value is None or type(value) is str for value in optional)
        and all(type(file.path) is str and type(file.sha256) is str for file in record.files)
        and all(
            type(number) is int
            for file in record.files
            for number in (file.n_bytes, file.mtime_ns, file.inode)
        )
    )


def records(settings: Settings) -> Iterator[Record]:
    """Every model that zeropoint downloaded to this disk, sorted by name. Raises DiskError."""
    folder = home(settings) / "models"
    try:
        loaded = [load(path) for path in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise download_files.disk_error(error, folder) from None
    yield from sorted((record for record in loaded if record is not None), key=lambda record: record.name)


def is_intact(record: Record) -> bool:
    """Whether all files are as they were when verified; also updates the time of last use.

    If only modification time or inode differ (a copied cache), hash the files and update the record.
    """
    if all(_is_unchanged(path, file) for path, file in zip(record.paths, record.files, strict=True)):
        with contextlib.suppress(OSError):  # the cache may be read-only
            os.utime(record.folder / _RECORD)
        return True
    if not verify(record):
        return False
    files = tuple(
        _cached_file(record.folder, path, file.sha256)
        for path, file in zip(record.paths, record.files, strict=True)
    )
    with contextlib.suppress(DiskError, BadInput):
        save(dataclasses.replace(record, files=files))
    return True


def verify(record: Record) -> bool:
    """Whether the size and SHA-256 of every file match the record; reads all bytes."""
    try:
        return all(
            path.stat().st_size == file.n_bytes and sha256_of(path) == file.sha256
            for path, file in zip(record.paths, record.files, strict=True)
        )
    except OSError:
        return False


def remove(folder: Path) -> int:
    """Remove a model's folder and return the bytes freed. Hold the folder's lock when calling."""
    try:
        freed_bytes = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
        shutil.rmtree(folder)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise download_files.disk_error(error, folder) from None
    return freed_bytes


def _cached_file(folder: Path, path: Path, sha256: str) -> CachedFile:
    try:
        info = path.stat()
    except OSError as error:
        raise download_files.disk_error(error, path) from None
    name = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path.absolute())
    return CachedFile(name, info.st_size, info.st_mtime_ns, info.st_ino, sha256)


def _is_unchanged(path: Path, file: CachedFile) -> bool:
    try:
        info = path.stat()
    except (OSError, ValueError):
        return False
    return (info.st_size, info.st_mtime_ns, info.st_ino) == (file.n_bytes, file.mtime_ns, file.inode)
