"""Find or download a data set by name, and verify its files.

    fetch("multi30k") -> {"train.de.gz": Path(...), ...}

Searches the package, the folder ZEROPOINT_DATA and the cache, then downloads. Data sets are small compared
to models, so every file is hashed on each call; a copy with different content is reported and skipped. If
the catalogue has no SHA-256 for a file, that of the first download is stored next to it and verified from
then on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zeropoint.blueprint.toml_codec import decode, refuse_unknown
from zeropoint.catalogue import cache, source_chain
from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Notice, PartialProgress, Progress, no_notice, no_progress
from zeropoint.catalogue.source import FileRequest
from zeropoint.errors import BadInput, DiskError, NetworkError, choices
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.toml_text import parse_toml
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = ["DataFile", "DataSet", "fetch", "find", "is_local", "load", "read"]

_FILE = Path(__file__).with_name("data.toml")
_BUNDLED = Path(__file__).parents[1] / "data"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@frozen
class DataFile:
    """One file: name, size in bytes, SHA-256 (hex) and URL. A file without `url` is part of the package.

    sha256: "" if unknown; `n_bytes` is then approximate.
    """

    file: str
    n_bytes: int
    sha256: str
    url: str = ""

    @property
    def request(self) -> FileRequest:
        """The request to send to a source."""
        return FileRequest(self.file, self.n_bytes, self.sha256) if self.sha256 else FileRequest(self.file)


@frozen
class DataSet:
    """A named data set. folder: the folder of its files below the folder ZEROPOINT_DATA."""

    name: str
    description: str
    licence: str
    files: tuple[DataFile, ...]
    folder: str = ""

    @property
    def n_bytes(self) -> int:
        """The total size of the files."""
        return sum(file.n_bytes for file in self.files)


@functools.cache
def load() -> dict[str, DataSet]:
    """The data sets of `data.toml`, by name."""
    return read(_FILE.read_text(encoding="utf-8"), _FILE.name)


def find(name: str) -> DataSet:
    """The data set with this name. Raises BadInput naming the closest one."""
    known = load()
    if name.lower() not in known:
        raise BadInput(f"{choices('data set', name, known)}; to use your own file or folder, give its path")
    return known[name.lower()]


def fetch(
    name: str,
    *,
    settings: Settings | None = None,
    progress: Progress = no_progress,
    notice: Notice = no_notice,
    offline: bool = False,
) -> dict[str, Path]:
    """The files of a data set by name; downloads those that are not on this disk.

    Raises BadInput for an unknown name, NetworkError with the reason, DiskError.
    """
    data, settings = find(name), settings or Settings.read()
    paths = {file.file: _on_disk(data, file, settings, notice) for file in data.files}
    if None in paths.values():
        if source_chain.is_offline(settings, offline):
            raise NetworkError(
                f"the data set {data.name} is not on this disk and offline mode is on; set ZEROPOINT_DATA to"
                " a folder with its files, or unset ZEROPOINT_OFFLINE"
            )
        paths |= _download_all(data, settings, progress, notice)
    return {file: path for file, path in paths.items() if path is not None}


def is_local(name: str, *, settings: Settings | None = None) -> bool:
    """Whether every file of a data set is on this disk with the right size; reads no content."""
    data, settings = find(name), settings or Settings.read()
    return all(
        any(_has_size(path, file.request.n_bytes) for _, path in _candidates(data, file, settings))
        for file in data.files
    )


def read(text: str, origin: str) -> dict[str, DataSet]:
    """Parse the TOML text of a list of data sets. Raises BadInput naming `origin`, data set and key."""
    table = parse_toml(text, origin)
    refuse_unknown(table, {"data"}, origin)
    data_sets: dict[str, DataSet] = {}
    for position, raw in enumerate(table.get("data", []), start=1):
        data = _data_set(dict(raw), f"{origin}, data set {position}")
        if data.name in data_sets or not _NAME.fullmatch(data.name):
            raise BadInput(f"{origin}: the name `{data.name}` is malformed or used twice; choose another")
        data_sets[data.name] = data
    return data_sets


def _data_set(raw: dict[str, Any], where: str) -> DataSet:
    files = tuple(decode(DataFile, item, f"{where}, file") for item in raw.pop("file", []))
    data: DataSet = decode(DataSet, raw, where, ready={"files": files})
    for file in files:
        is_valid_hash = re.fullmatch(r"[0-9a-f]{64}", file.sha256) or (file.url and not file.sha256)
        if not is_valid_hash or file.n_bytes <= 0:
            raise BadInput(
                f"{where}: `sha256` of {file.file} must be 64 hexadecimal digits, `n_bytes` above 0"
            )
    if not files or any(Path(name).name != name for name in (data.folder or "x", *(f.file for f in files))):
        raise BadInput(f"{where}: give at least one file, and plain names for `file` and `folder`")
    return data


def _candidates(data: DataSet, file: DataFile, settings: Settings) -> Iterator[tuple[str, Path]]:
    """Where a file may be on this disk: (description, path)."""
    if not file.url:
        yield "this package", _BUNDLED / file.file
        return
    if folder := settings.get("data").value:
        yield "the folder ZEROPOINT_DATA", Path(folder).expanduser() / data.folder / file.file
    yield "the cache", _folder(data, settings) / file.file


def _folder(data: DataSet, settings: Settings) -> Path:
    return cache.home(settings) / "data" / data.name


def _on_disk(data: DataSet, file: DataFile, settings: Settings, notice: Notice) -> Path | None:
    """The first copy that passes verification."""
    for where, path in _candidates(data, file, settings):
        if path.is_file():
            try:
                download_files.verify(path, _with_recorded_hash(path, file.request))
                return path
            except (NetworkError, DiskError) as error:
                notice(f"skipping {file.file} in {where}: {error}")
    if not file.url:
        raise DiskError(f"{file.file} of the zeropoint package is missing or changed; reinstall zeropoint")
    return None


def _has_size(path: Path, n_bytes: int | None) -> bool:
    return path.is_file() and n_bytes in (None, path.stat().st_size)


def _hash_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _with_recorded_hash(path: Path, request: FileRequest) -> FileRequest:
    """The request with the SHA-256 recorded at the first download, if the catalogue has none."""
    recorded = _hash_path(path)
    if request.sha256 is None and recorded.is_file():
        return FileRequest(request.file, None, recorded.read_text("utf-8", "replace").strip())
    return request


def _download_all(
    data: DataSet, settings: Settings, progress: Progress, notice: Notice
) -> dict[str, Path | None]:
    folder, done_bytes = _folder(data, settings), 0
    paths: dict[str, Path | None] = {}
    download_files.create_folder(folder)
    with cache.hold(folder, f"the data set {data.name} is being fetched", notice):
        download_files.remove_stale(folder)
        for file in data.files:
            path = _on_disk(data, file, settings, no_notice)  # the previous holder may have fetched it
            if path is None:
                notice(f"fetching {file.file} ({file.n_bytes / 1e6:.1f} MB, {data.licence}) from {file.url}")
                path = _download(data, file, folder, PartialProgress(progress, done_bytes, data.n_bytes))
            paths[file.file] = path
            done_bytes += file.n_bytes
    return paths


def _download(data: DataSet, file: DataFile, folder: Path, progress: Progress) -> Path:
    from zeropoint.catalogue.sources.url import UrlSource

    try:
        fetched = UrlSource(file.url, magic="").fetch(file.request, folder, progress)
        if not file.sha256:
            replace_file(_hash_path(fetched.path), fetched.sha256.encode(), download_files.OTHER_HOME)
        return fetched.path
    except NetworkError as error:
        target = Path(data.folder, file.file)
        raise NetworkError(
            f"could not fetch {file.file} of the data set {data.name} from {file.url}: {error}; check the"
            f" network and try again, or save it as {target} in the folder ZEROPOINT_DATA"
        ) from None
