"""Hugging Face repositories, through the hub's own library and its own cache.

The library reads its own environment (HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE ...). It is imported
late, and told before that to send no telemetry and to look for no update of itself.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Progress, Span, no_progress
from zeropoint.catalogue.file_selection import Choice, Listed, choose
from zeropoint.catalogue.model_refs import HubRef
from zeropoint.catalogue.source import FetchedFile, FileRequest, one_line
from zeropoint.errors import BadInput, DiskError, NetworkError
from zeropoint.frozen import frozen

__all__ = [
    "Selection",
    "Source",
    "cached_selection",
    "download",
    "label",
    "library",
    "read_head",
    "remove",
    "select",
]

_TIMEOUT_S = 10.0  # to the first answer; the library's own HF_HUB_DOWNLOAD_TIMEOUT holds for the bytes
_COMMIT = re.compile(r"[0-9a-f]{40}")
T = TypeVar("T")


@frozen
class Source:
    """The file `file` of the repository `repo` at `revision` (None: its main branch)."""

    repo: str
    file: str
    revision: str | None = None

    @property
    def label(self) -> str:
        """How notices and errors call it."""
        return label(self.repo)

    def fetch(self, want: FileRequest, folder: Path, progress: Progress) -> FetchedFile:
        """Download into the hub library's cache (`folder` is not used) and verify there."""
        # asked for first: left alone, the download would retry an unreachable hub for minutes
        meta = _asked(
            lambda hub: hub.get_hf_file_metadata(_address(hub, self), timeout=_TIMEOUT_S), self.repo
        )
        if want.n_bytes is not None and meta.size not in (None, want.n_bytes):
            raise NetworkError(f"the repository's file has {meta.size:,} bytes instead of {want.n_bytes:,}")
        path = _download(self.repo, self.file, meta.commit_hash or self.revision, progress)
        return FetchedFile(path, download_files.verify(path, want), meta.commit_hash, self.repo)

    def cached(self, want: FileRequest) -> FetchedFile | None:
        """The file if the hub library's cache has it and it is the one that is wanted."""
        selection = cached_selection(HubRef(self.repo, None, self.revision, self.file))
        try:
            got = download(selection) if selection else []
            return (
                dataclasses.replace(got[0], sha256=download_files.verify(got[0].path, want)) if got else None
            )
        except (NetworkError, DiskError):
            return None


@frozen
class Selection:
    """The files of a repository that a name stands for, pinned to a commit."""

    repo: str
    commit: str
    choice: Choice
    licence: str | None = None


def label(repo: str) -> str:
    """How notices, errors and records call a repository of the hub."""
    return f"Hugging Face ({repo})"


def library() -> ModuleType:
    """The hub library, imported at first use with telemetry, update check and chatter off."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.errors
    import huggingface_hub.utils

    return huggingface_hub


def select(ref: HubRef) -> Selection:
    """Ask the hub which files a name stands for now. Raises: NetworkError, BadInput."""

    def ask(hub: ModuleType) -> Any:
        api = hub.HfApi(library_name="zeropoint")
        return api.model_info(ref.repo, revision=ref.revision, files_metadata=True, timeout=_TIMEOUT_S)

    info = _asked(ask, ref.repo)
    listed = [
        Listed(item.rfilename, item.size, item.lfs.sha256 if item.lfs else None)
        for item in info.siblings or ()
    ]
    choice = choose(listed, f"hf:{ref.repo}", quant=ref.quant, file=ref.file)
    licence = next((tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")), None)
    return Selection(ref.repo, info.sha, choice, licence)


def cached_selection(ref: HubRef) -> Selection | None:
    """The same answered from the hub library's cache alone; None if nothing fitting is there."""
    cache = Path(library().constants.HF_HUB_CACHE) / f"models--{ref.repo.replace('/', '--')}"
    try:
        pointer = cache / "refs" / (ref.revision or "main")
        if pointer.is_file():
            commit = pointer.read_text(encoding="ascii")
        else:  # what was downloaded by commit has no ref; without a revision, the newest will do
            newest = max((cache / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime_ns).name
            commit = ref.revision or newest
        if not _COMMIT.fullmatch(commit):
            return None
        folder = cache / "snapshots" / commit
        listed = [
            Listed(str(path.relative_to(folder)), path.stat().st_size) for path in folder.rglob("*.gguf")
        ]
        return Selection(ref.repo, commit, choose(listed, str(ref), quant=ref.quant, file=ref.file))
    except (OSError, ValueError, BadInput):
        return None


def download(selection: Selection, progress: Progress = no_progress) -> list[FetchedFile]:
    """Bring all shards of a selection into the hub library's cache, each verified.

    Raises: NetworkError, DiskError.
    """
    got, done = [], 0
    for listed in selection.choice.files:
        span = Span(progress, done, selection.choice.n_bytes)
        path = _download(selection.repo, listed.file, selection.commit, span)
        sha256 = download_files.verify(path, FileRequest(listed.file, listed.n_bytes, listed.sha256))
        got.append(FetchedFile(path, sha256, selection.commit, selection.repo))
        done += path.stat().st_size
    return got


def read_head(selection: Selection, n_bytes: int) -> bytes:
    """The first bytes of the first file of a selection, by HTTP range. Raises: NetworkError."""
    from zeropoint.catalogue.download import http_client

    hub = library()
    source = Source(selection.repo, selection.choice.files[0].file, selection.commit)
    headers = hub.utils.build_hf_headers(library_name="zeropoint")
    wanted = {name: value for name, value in headers.items() if name.lower() == "authorization"}
    return http_client.read_head(_address(hub, source), wanted, n_bytes)[0]


def remove(repo: str, commit: str, files: Collection[str]) -> int:
    """Have the library delete a revision of which `files` are ours; returns the bytes freed.

    The library deletes whole revisions only, so one that holds files of others is left alone. Blobs that
    another revision needs stay too; the library sees to that. Raises: DiskError.
    """
    hub = library()
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


def _address(hub: ModuleType, source: Source) -> str:
    return str(hub.hf_hub_url(source.repo, source.file, revision=source.revision))


def _download(repo: str, file: str, revision: str | None, progress: Progress) -> Path:
    def ask(hub: ModuleType) -> Any:
        bar = _bar(progress)
        return hub.hf_hub_download(repo, file, revision=revision, library_name="zeropoint", tqdm_class=bar)

    return _inside_cache(_asked(ask, repo))


def _inside_cache(path: str) -> Path:
    """A file of the hub's cache may be a link, but only to another place in that cache."""
    cache = Path(library().constants.HF_HUB_CACHE)
    if not Path(path).resolve().is_relative_to(cache.resolve()):
        raise NetworkError(f"{path} leads out of the hub's cache {cache}; remove it and pull again")
    return Path(path)


def _asked(question: Callable[[ModuleType], T], repo: str) -> T:
    """Put a question to the hub library and turn what it raises into one of our sentences."""
    hub = library()
    errors = hub.errors
    try:
        return question(hub)
    except errors.GatedRepoError:
        raise NetworkError(f"{repo} is gated: accept its terms on its page, then set HF_TOKEN") from None
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
        raise NetworkError(f"the hub answers HTTP {status}") from None
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError):
            raise NetworkError(one_line(error)) from None
        raise download_files.disk_error(error, Path(hub.constants.HF_HUB_CACHE)) from None
    except Exception as error:  # the library lets its transport's own exceptions through
        raise NetworkError(f"it cannot be reached ({one_line(error)})") from None


def _bar(progress: Progress) -> type:
    """A class with the face of tqdm, as the library wants it, that reports to `progress`."""

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
        # with these two the library keeps one bar a file instead of one for transfer and one for writing
        update_transfer = set_transfer_postfix_str = _nothing

    return Bar
