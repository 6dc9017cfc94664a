"""Data sets by name: from the folder of ZEROPOINT_DATA, the package, the cache, or fetched; sha256 enforced.

    fetch("multi30k") -> {"train.de.gz": Path(...), ...}

A data set is small beside a model, so every file is hashed each time it is asked for. A copy of one's own
that is another file is told of and passed over. Of a file whose sum is not known here, the sum of the first
download is noted beside it and holds from then on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zeropoint.blueprint.toml_codec import decode, parse, refuse_unknown
from zeropoint.catalogue import cache, source_chain
from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Notice, Progress, Span, no_notice, no_progress
from zeropoint.catalogue.source import FileRequest
from zeropoint.errors import BadInput, DiskError, NetworkError, choices
from zeropoint.files.atomic_write import replace_file
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = ["DataFile", "DataSet", "fetch", "find", "here", "load", "read"]

_FILE = Path(__file__).with_name("data.toml")
_BUNDLED = Path(__file__).parents[1] / "data"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@frozen
class DataFile:
    """One file: its name, size and sha256 (hex), and where to get it; no `url`: it comes with the package.

    sha256: "" if it is not known, and then the size is about right.
    """

    file: str
    n_bytes: int
    sha256: str
    url: str = ""

    @property
    def want(self) -> FileRequest:
        """The file as a source is asked for it."""
        return FileRequest(self.file, self.n_bytes, self.sha256) if self.sha256 else FileRequest(self.file)


@frozen
class DataSet:
    """A named data set. folder: where its files lie below the folder of ZEROPOINT_DATA."""

    name: str
    description: str
    licence: str
    files: tuple[DataFile, ...]
    folder: str = ""

    @property
    def n_bytes(self) -> int:
        """The size of its files."""
        return sum(file.n_bytes for file in self.files)


@functools.cache
def load() -> dict[str, DataSet]:
    """The data sets of this package, by name."""
    return read(_FILE.read_text(encoding="utf-8"), _FILE.name)


def find(name: str) -> DataSet:
    """The data set of that name. Raises: BadInput naming the closest."""
    known = load()
    if name.lower() not in known:
        raise BadInput(f"{choices('data set', name, known)}; for a file or folder of your own give its path")
    return known[name.lower()]


def fetch(
    name: str,
    *,
    settings: Settings | None = None,
    progress: Progress = no_progress,
    notice: Notice = no_notice,
    offline: bool = False,
) -> dict[str, Path]:
    """The files of a data set on this disk, by their names; what is not here is fetched.

    Raises: BadInput for an unknown name, NetworkError with the reason, DiskError.
    """
    data, settings = find(name), settings or Settings.read()
    found = {file.file: _on_disk(data, file, settings, notice) for file in data.files}
    if None in found.values():
        if source_chain.is_offline(settings, offline):
            raise NetworkError(
                f"the data set {data.name} is not on this disk and offline mode is on; put its files into a"
                " folder and name that in ZEROPOINT_DATA, or unset ZEROPOINT_OFFLINE"
            )
        found |= _downloaded(data, settings, progress, notice)
    return {file: path for file, path in found.items() if path is not None}


def here(name: str, *, settings: Settings | None = None) -> bool:
    """Whether every file of a data set is on this disk with the size it should have; no byte is read."""
    data, settings = find(name), settings or Settings.read()
    return all(
        any(_has_size(path, file.want.n_bytes) for _, path in _places(data, file, settings))
        for file in data.files
    )


def read(text: str, origin: str) -> dict[str, DataSet]:
    """Parse the TOML `text` of a list of data sets. Raises BadInput naming `origin`, the set and the key."""
    table = parse(text, origin)
    refuse_unknown(table, {"data"}, origin)
    found: dict[str, DataSet] = {}
    for position, raw in enumerate(table.get("data", []), start=1):
        data = _data_set(dict(raw), f"{origin}, data set {position}")
        if data.name in found or not _NAME.fullmatch(data.name):
            raise BadInput(f"{origin}: the name `{data.name}` is malformed or used twice; choose another")
        found[data.name] = data
    return found


def _data_set(raw: dict[str, Any], where: str) -> DataSet:
    files = tuple(decode(DataFile, item, f"{where}, file") for item in raw.pop("file", []))
    data: DataSet = decode(DataSet, raw, where, ready={"files": files})
    for file in files:
        is_sum = re.fullmatch(r"[0-9a-f]{64}", file.sha256) or (file.url and not file.sha256)
        if not is_sum or file.n_bytes <= 0:
            raise BadInput(
                f"{where}: `sha256` of {file.file} must be 64 hexadecimal digits, `n_bytes` above 0"
            )
    if not files or any(Path(name).name != name for name in (data.folder or "x", *(f.file for f in files))):
        raise BadInput(f"{where}: needs at least one file, and plain names of files and folder")
    return data


def _places(data: DataSet, file: DataFile, settings: Settings) -> Iterator[tuple[str, Path]]:
    """Where a file may lie already: (what the place is called, path)."""
    if not file.url:
        yield "this package", _BUNDLED / file.file
        return
    if given := settings.get("data").value:
        yield "the folder of ZEROPOINT_DATA", Path(given).expanduser() / data.folder / file.file
    yield "the cache", _folder(data, settings) / file.file


def _folder(data: DataSet, settings: Settings) -> Path:
    return cache.home(settings) / "data" / data.name


def _on_disk(data: DataSet, file: DataFile, settings: Settings, say: Notice) -> Path | None:
    """The first copy that is the wanted file."""
    for called, path in _places(data, file, settings):
        if path.is_file():
            try:
                download_files.verify(path, _noted(path, file.want))
                return path
            except (NetworkError, DiskError) as error:
                say(f"{file.file} in {called} is passed over: {error}")
    if not file.url:
        raise DiskError(f"{file.file}, which comes with zeropoint, is missing or changed; install it again")
    return None


def _has_size(path: Path, n_bytes: int | None) -> bool:
    return path.is_file() and n_bytes in (None, path.stat().st_size)


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _noted(path: Path, want: FileRequest) -> FileRequest:
    """What is wanted, with the sum that was noted when it came, if none was known before."""
    note = _note_of(path)
    if want.sha256 is None and note.is_file():
        return FileRequest(want.file, None, note.read_text("utf-8", "replace").strip())
    return want


def _downloaded(data: DataSet, settings: Settings, progress: Progress, say: Notice) -> dict[str, Path | None]:
    folder, done = _folder(data, settings), 0
    found: dict[str, Path | None] = {}
    download_files.create_folder(folder)
    with cache.hold(folder, f"the data set {data.name} is being fetched", say):
        download_files.remove_stale(folder)
        for file in data.files:
            path = _on_disk(data, file, settings, no_notice)  # whoever held the lock may have fetched it
            if path is None:
                say(f"fetching {file.file} ({file.n_bytes / 1e6:.1f} MB, {data.licence}) from {file.url}")
                path = _file(data, file, folder, Span(progress, done, data.n_bytes))
            found[file.file] = path
            done += file.n_bytes
    return found


def _file(data: DataSet, file: DataFile, folder: Path, progress: Progress) -> Path:
    from zeropoint.catalogue.sources import url

    try:
        got = url.Source(file.url, magic="").fetch(file.want, folder, progress)
        if not file.sha256:
            replace_file(_note_of(got.path), got.sha256.encode(), download_files.OTHER_HOME)
        return got.path
    except NetworkError as error:
        where = f"the folder {data.folder} of a folder" if data.folder else "a folder"
        raise NetworkError(
            f"could not fetch {file.file} of the data set {data.name} from {file.url}: {error}; check the"
            f" network and try again, or put the file into {where} and name that in ZEROPOINT_DATA"
        ) from None
