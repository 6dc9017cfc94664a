"""Parse a model name into a reference; nothing is downloaded here.

    ./dir/model.gguf   ~/x.gguf   model.gguf        a file (or a folder with config.json) on this disk
    runs/NAME   runs/NAME/best                      a training run: its latest or best checkpoint
    smollm2:135m                                    a name or alias in the catalogue
    NAME[@best|@STEP]   run:NAME[@best|@STEP]       the training run runs/NAME in the current folder
    hf:owner/repo[:quant][@rev][#file]              a Hugging Face repository; also hf:owner/repo:file.gguf,
    hf://owner/repo[@rev][/file]  owner/repo[:quant]  and a page URL (/blob/, /resolve/, /tree/)
    https://host/path/model.gguf                    any other URL of a GGUF file
    ollama:name[:tag]   lmstudio:[owner/]name[:quant] a model that these programs stored on this disk

A name whose first folder exists is a path, so that a misspelled path never asks the network. Any other name
with two meanings is an error that lists both.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from zeropoint.catalogue import catalog, huggingface, local_names
from zeropoint.catalogue.catalog import CatalogEntry
from zeropoint.catalogue.hub_ref import HubRef
from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen

__all__ = [
    "CatalogueRef",
    "FileRef",
    "Ref",
    "Remote",
    "StoreRef",
    "UrlRef",
    "is_safe_file",
    "parse",
]

_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REPO = re.compile(rf"{_ID}/{_ID}")
_QUANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_STORED = re.compile(rf"({_ID}/)*{_ID}")
_MAX_NAME = 4096  # PATH_MAX; every other form is shorter


@frozen
class FileRef:
    """A path on this disk, with `~` already expanded."""

    path: Path


@frozen
class CatalogueRef:
    """An entry of the catalogue."""

    entry: CatalogEntry

    @property
    def key(self) -> str:
        """The full name, which identifies the model in the cache: the same for every spelling."""
        return self.entry.name

    @property
    def display_name(self) -> str:
        """The name for messages."""
        return self.entry.name


@frozen
class UrlRef:
    """An http or https URL of a GGUF file."""

    url: str

    @property
    def key(self) -> str:
        """The URL, which identifies the model in the cache."""
        return self.url

    @property
    def display_name(self) -> str:
        """The name for messages: the file name without its suffix."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2][:-5]


@frozen
class StoreRef:
    """A model in another program's store (`ollama`, `lmstudio`); `tag` may be a quantization."""

    store: str
    name: str
    tag: str | None = None


Remote = CatalogueRef | HubRef | UrlRef
Ref = FileRef | StoreRef | Remote


def parse(name: str) -> Ref:
    """Parse a model name. Raises BadInput if it is malformed, unknown, or has two meanings (listing both)."""
    if not name or len(name) > _MAX_NAME or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise BadInput("a model name must be 1 to 4,096 characters without control characters; see --help")
    prefix, colon, rest = name.partition(":")
    if not colon:  # `hf` alone may be a folder
        prefix = ""
    if prefix == "hf":
        return _hf_url(rest[2:], name) if rest.startswith("//") else _hub(rest, name)
    if prefix in ("ollama", "lmstudio"):
        return _store(prefix, rest, name)
    if prefix in ("http", "https") and rest.startswith("//"):
        return _url(name)
    if prefix == "run":
        return FileRef(local_names.run_path(rest, name))
    return FileRef(local_names.expand(name)) if local_names.is_path(name) else _plain(name)


def _plain(name: str) -> Ref:
    readings: list[tuple[str, Ref]] = []
    if (path := local_names.existing_model(name)) is not None:
        readings.append((f"the path ./{name}", FileRef(path)))
    if (entry := catalog.find(name)) is not None:
        readings.append((f"the catalogue's {entry.name}", CatalogueRef(entry)))
    if (run := local_names.find_run(name)) is not None:
        readings.append((f"the training run ./{run}", FileRef(run)))
    elif _REPO.fullmatch(name.partition(":")[0]):
        readings.append((f"the hub repository hf:{name}", _hub(name, name)))
    if len(readings) > 1:
        listed = " or ".join(text for text, _ in readings)
        raise BadInput(f"model `{name}` can mean {listed}; write it in full")
    if not readings:
        hint = "; a path (./model.gguf), hf:owner/repo, ollama:name and lmstudio:name work too"
        known = [*catalog.known_names(), *local_names.known_runs()]
        raise BadInput(choices("model", name, known) + hint)
    return readings[0][1]


def _hub(rest: str, name: str) -> HubRef:
    rest, _, file = rest.partition("#")
    rest, _, revision = rest.partition("@")
    repo, _, quant = rest.partition(":")
    if quant.lower().endswith(".gguf") and not file:
        quant, file = "", quant
    return _checked(HubRef(repo, quant or None, revision or None, file or None), name)


def _hf_url(rest: str, name: str) -> HubRef:
    owner, _, rest = rest.partition("/")
    repo, _, file = rest.partition("/")
    repo, _, revision = repo.partition("@")
    return _checked(HubRef(f"{owner}/{repo}", None, revision or None, file or None), name)


def _url(name: str) -> Ref:
    try:
        split = urlsplit(name)
        host, _ = split.hostname, split.port
    except ValueError:
        host = None
    if not host:
        raise BadInput(f"model `{name}` is not a valid URL; write https://host/path/model.gguf")
    if split.username is not None:
        raise BadInput("a URL with a user name or password is not accepted; use a local file or HF_TOKEN")
    parts = [unquote(part) for part in split.path.split("/") if part]
    is_hub_shaped = len(parts) == 2 or (len(parts) >= 4 and parts[2] in ("blob", "resolve", "tree"))
    if is_hub_shaped and host.lower() in huggingface.hosts():
        revision, file = (parts[3], "/".join(parts[4:])) if len(parts) > 2 else ("", "")
        return _checked(HubRef("/".join(parts[:2]), None, revision or None, file or None), name)
    if not split.path.lower().endswith(".gguf"):
        raise BadInput(f"the URL `{name}` does not end in .gguf; give the URL of the file itself")
    return UrlRef(name)


def _store(store: str, rest: str, name: str) -> StoreRef:
    model, _, tag = rest.partition(":")
    if not _STORED.fullmatch(model) or ".." in model or (tag and not _QUANT.fullmatch(tag)):
        raise BadInput(f"model `{name}` is malformed; write {store}:name or {store}:name:tag")
    return StoreRef(store, model, tag or None)


def _checked(ref: HubRef, name: str) -> HubRef:
    form = "write hf:owner/repo[:quant][@revision][#file]"
    if not _REPO.fullmatch(ref.repo) or ".." in ref.repo:
        raise BadInput(f"model `{name}`: `{ref.repo}` is not owner/repo; {form}")
    if ref.quant is not None and not _QUANT.fullmatch(ref.quant):
        raise BadInput(f"model `{name}`: `{ref.quant}` is not a quantization like Q4_0; {form}")
    if ref.revision is not None and (not _REVISION.fullmatch(ref.revision) or ".." in ref.revision):
        raise BadInput(f"model `{name}`: `{ref.revision}` is not a branch, tag or commit; {form}")
    if ref.file is not None and not is_safe_file(ref.file):
        raise BadInput(f"model `{name}`: `{ref.file}` is not a .gguf file inside the repository; {form}")
    return ref


def is_safe_file(file: str) -> bool:
    """Whether a file name from outside names a GGUF file and stays inside its folder."""
    parts = file.split("/")
    is_plain = all(part not in ("", ".", "..") for part in parts) and "\\" not in file and ":" not in file
    return is_plain and file.lower().endswith(".gguf") and len(file) <= 512 and file.isprintable()
