"""Download from Hugging Face repositories with the huggingface_hub library, into the library's own cache."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Collection
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from zeropoint.catalogue import huggingface
from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import PartialProgress, Progress, no_progress
from zeropoint.catalogue.file_selection import ListedFile, SelectedModel, select_files
from zeropoint.catalogue.hub_ref import HubRef
from zeropoint.catalogue.source import FetchedFile, FileRequest, FileSource, one_line
from zeropoint.errors import BadInput, DiskError, NetworkError
from zeropoint.files.regular_file import read_regular
from zeropoint.frozen import frozen

__all__ = [
    "HubSelection",
    "HubSource",
    "download",
    "read_head",
    "remove",
    "select",
    "select_cached",
    "source_label",
]

_TIMEOUT_S = 10.0  # for metadata; HF_HUB_DOWNLOAD_TIMEOUT of the library applies to downloads
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_REF_BYTES = 1 << 10
T = TypeVar("T")


@frozen
class HubSource(FileSource):
    """The file `file` of the repository `repo` at `revision` (None: its main branch)."""

    repo: str
    file: str
    revision: str | None = None

    @property
    def label(self) -> str:
        """The hub and the repository."""
        return source_label(self.repo)

    def fetch(self, request: FileRequest, folder: Path, progress: Progress) -> FetchedFile:
        """Download into the Hugging Face cache (`folder` is unused) and verify there."""
        # metadata first: the download alone would retry an unreachable hub for minutes
        meta = _query(lambda hub: hub.get_hf_file_metadata(_url(hub, self), timeout=_TIMEOUT_S), self.repo)
        if request.n_bytes is not None and meta.size not in (None, request.n_bytes):
            raise NetworkError(
                f"the repository's file has {meta.size:,} bytes instead of {request.n_bytes:,}"
            )
        path = _download(self.repo, self.file, meta.commit_hash or self.revision, progress)
        return FetchedFile(path, download_files.verify(path, request), meta.commit_hash, self.repo)

    def cached(self, request: FileRequest) -> FetchedFile | None:
        """The file if the Hugging Face cache has it and it passes verification."""
        selection = select_cached(HubRef(self.repo, None, self.revision, self.file))
        if selection is None:
            return None
        try:
            file = download(selection)[0]
            return dataclasses.replace(file, sha256=download_files.verify(file.path, request))
        except (NetworkError, DiskError):
            return None


@frozen
class HubSelection:
    """The files of a repository that a model name selects, pinned to a commit."""

    repo: str
    commit: str
    model: SelectedModel
    licence: str | None = None


def source_label(repo: str) -> str:
    """The name of a hub repository in notices, errors and records."""
    return f"Hugging Face ({repo})"


def select(ref: HubRef) -> HubSelection:
    """Query the hub for the files that a name selects now. Raises NetworkError, BadInput."""

    def query(hub: ModuleType) -> Any:
        api = hub.HfApi(library_name="zeropoint")
        return api.model_info(ref.repo, revision=ref.revision, files_metadata=True, timeout=_TIMEOUT_S)

    info = _query(query, ref.repo)
    files = [
        ListedFile(item.rfilename, item.size, item.lfs.sha256 if item.lfs else None)
        for item in info.siblings or ()
    ]
    if not any(file.file.lower().endswith(".gguf") for file in files):
        raise BadInput(_no_gguf(ref.repo, files))
    model = select_files(files, f"hf:{ref.repo}", quant=ref.quant, file=ref.file)
    licence = next((tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")), None)
    return HubSelection(ref.repo, info.sha, model, licence)


def _no_gguf(repo: str, files: list[ListedFile]) -> str:
    """The message for a repository without GGUF files; its safetensors files can be converted."""
    message = f"hf:{repo} has no GGUF file; choose a repository with one (often named ...-GGUF)"
    name = repo.rpartition("/")[2]
    if any(file.file.endswith(".safetensors") for file in files):
        message += (
            f", or convert its weights: `hf download {repo} --local-dir {name}`, then "
            f"`zeropoint convert {name} {name}.gguf`"
        )
    return message


def select_cached(ref: HubRef) -> HubSelection | None:
    """The same as `select` from the Hugging Face cache alone; None if it has no matching file."""
    cache = Path(huggingface.library().constants.HF_HUB_CACHE) / f"models--{ref.repo.replace('/', '--')}"
    try:
        pointer = cache / "refs" / (ref.revision or "main")
        if pointer.is_file():
            commit = read_regular(pointer, _MAX_REF_BYTES).decode("ascii")
        else:  # a download by commit has no ref; without a revision, use the newest snapshot
            newest = max((cache / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime_ns).name
            commit = ref.revision or newest
        if not _COMMIT.fullmatch(commit):
            return None
        folder = cache / "snapshots" / commit
        files = [
            ListedFile(str(path.relative_to(folder)), path.stat().st_size, _blob_sha256(path))
            for path in folder.rglob("*.gguf")
        ]
        return HubSelection(ref.repo, commit, select_files(files, str(ref), quant=ref.quant, file=ref.file))
    except (OSError, ValueError, BadInput):
        return None


def download(selection: HubSelection, progress: Progress = no_progress) -> list[FetchedFile]:
    """Download all shards of a selection into the Hugging Face cache and verify them.

    Raises NetworkError, DiskError.
    """
    fetched, done_bytes = [], 0
    for file in selection.model.files:
        part = PartialProgress(progress, done_bytes, selection.model.n_bytes)
        path = _download(selection.repo, file.file, selection.commit, part)
        try:
            sha256 = download_files.verify(path, FileRequest(file.file, file.n_bytes, file.sha256))
        except NetworkError:
            _discard(path)  # else the library would return it again
            raise
        fetched.append(FetchedFile(path, sha256, selection.commit, selection.repo))
        done_bytes += path.stat().st_size
    return fetched


def _blob_sha256(path: Path) -> str | None:
    """The SHA-256 of a file in the Hugging Face cache, which is the name of its blob if it is large."""
    name = path.resolve().name
    return name if _SHA256.fullmatch(name) else None


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.resolve().unlink()
        path.unlink(missing_ok=True)


def read_head(selection: HubSelection, n_bytes: int) -> bytes:
    """The first bytes of the first file of a selection, by an HTTP range request. Raises NetworkError."""
    from zeropoint.catalogue.download import http_client

    hub = huggingface.library()
    source = HubSource(selection.repo, selection.model.files[0].file, selection.commit)
    headers = hub.utils.build_hf_headers(library_name="zeropoint")
    authorization = {name: value for name, value in headers.items() if name.lower() == "authorization"}
    return http_client.read_head(_url(hub, source), authorization, n_bytes)[0]


def remove(repo: str, commit: str, files: Collection[str]) -> int:
    """Delete a revision from the Hugging Face cache if it has only `files`; return the bytes freed.

    The library deletes complete revisions, so a revision with other files is left alone. It leaves blobs that
    another revision needs. Raises DiskError.
    """
    hub = huggingface.library()
    folder = Path(hub.constants.HF_HUB_CACHE)
    try:
        cache = hub.scan_cache_dir(folder)
        for item in (item for item in cache.repos if item.repo_id == repo and item.repo_type == "model"):
            for revision in item.revisions:
                is_ours = {str(file.file_path) for file in revision.files} <= set(files)
                if revision.commit_hash == commit and is_ours:
                    strategy = cache.delete_revisions(commit)
                    strategy.execute()
                    return int(strategy.expected_freed_size)
    except (hub.errors.CacheNotFound, ValueError):
        return 0
    except OSError as error:
        raise download_files.disk_error(error, folder) from None
    return 0


def _url(hub: ModuleType, source: HubSource) -> str:
    return str(hub.hf_hub_url(source.repo, source.file, revision=source.revision))


def _download(repo: str, file: str, revision: str | None, progress: Progress) -> Path:
    def query(hub: ModuleType) -> Any:
        bar = _progress_bar(progress)
        return hub.hf_hub_download(repo, file, revision=revision, library_name="zeropoint", tqdm_class=bar)

    return _inside_cache(_query(query, repo))


def _inside_cache(path: str) -> Path:
    """Check that a file of the Hugging Face cache, which may be a link, points inside that cache."""
    cache = Path(huggingface.library().constants.HF_HUB_CACHE)
    if not Path(path).resolve().is_relative_to(cache.resolve()):
        raise NetworkError(f"{path} links to a file outside the cache {cache}; remove it and pull again")
    return Path(path)


def _query(query: Callable[[ModuleType], T], repo: str) -> T:
    """Run `query` with the hub library, and raise its errors as NetworkError or DiskError."""
    hub = huggingface.library()
    errors = hub.errors
    try:
        return query(hub)
    except errors.GatedRepoError:
        raise NetworkError(f"{repo} is gated: accept its terms on its web page, then set HF_TOKEN") from None
    except errors.RepositoryNotFoundError:
        raise NetworkError(
            f"there is no repository {repo}, or it is private and HF_TOKEN is not set"
        ) from None
    except errors.RevisionNotFoundError:
        raise NetworkError(f"{repo} has no such branch, tag or commit") from None
    except errors.RemoteEntryNotFoundError:
        raise NetworkError(f"{repo} has no such file at that revision") from None
    except errors.OfflineModeIsEnabled:
        raise NetworkError("HF_HUB_OFFLINE is set") from None
    except errors.LocalEntryNotFoundError as error:
        raise NetworkError(f"it cannot be reached ({one_line(error.__cause__ or error)})") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "?"
        raise NetworkError(f"the hub responded with HTTP {status}") from None
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError):
            raise NetworkError(one_line(error)) from None
        raise download_files.disk_error(error, Path(hub.constants.HF_HUB_CACHE)) from None
    except Exception as error:  # the library passes exceptions of its HTTP transport through
        raise NetworkError(f"it cannot be reached ({one_line(error)})") from None


def _progress_bar(progress: Progress) -> type:
    """A class with the interface of tqdm, which the library expects, that reports to `progress`."""

    class Bar:
        def __init__(self, total: float | None = None, initial: float = 0, **_: object) -> None:
            self.total, self.n = total, initial
            self.update(0)

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            progress(None if self.total is None else int(self.total), int(self.n))

        def reset(self, total: float | None = None) -> None:
            self.total, self.n = total, 0

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def _nothing(self, *_: object, **__: object) -> None:
            pass

        close = refresh = set_description = set_description_str = set_postfix = set_postfix_str = _nothing
        # with these two the library uses one bar per file instead of one for transfer and one for writing
        update_transfer = set_transfer_postfix_str = _nothing

    return Bar
