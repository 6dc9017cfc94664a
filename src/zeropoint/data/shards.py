"""Text as ids on the disk: files that are mapped into memory, and a manifest that says what they must hold.

    DIR/manifest.json         sizes, sums, sources, settings
    DIR/tokenizer.json
    DIR/train-00000.bin ...   ids one after the other, little-endian, no header
    DIR/validation-00000.bin

A shard is cut anywhere: all shards of a side, one after the other, are its text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from zeropoint.data.completion_loss import n_ids
from zeropoint.data.fingerprints import Fingerprint
from zeropoint.data.text_codec import TextCodec, load_codec
from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import write_file
from zeropoint.files.hashing import combined_sha256
from zeropoint.files.paths import display_path

__all__ = [
    "MANIFEST",
    "SPLITS",
    "Manifest",
    "Shard",
    "ShardWriter",
    "ShardedTokens",
    "Split",
    "read_manifest",
    "read_shards",
]

MANIFEST = "manifest.json"
SPLITS = ("train", "validation")
_FORMAT, _VERSION = "zeropoint.shards", 1
_DTYPES = ("<u2", "<u4")
_SCAN = 1 << 22  # ids looked at together


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of ids."""

    file: str
    n_tokens: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Split:
    """What is learned from, or judged by."""

    n_documents: int
    n_tokens: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder of shards holds and what it was made of.

    settings: of the preparation, as they were given; root: what was given, and sources: its files by name.
    """

    dtype: str
    n_vocab: int
    tokenizer_sha256: str
    settings: Mapping[str, Any]
    root: str
    sources: Mapping[str, Fingerprint]
    train: Split
    validation: Split

    @property
    def sha256(self) -> str:
        """Of all that training sees: the tokenizer and both sides, in hex."""
        return combined_sha256(
            self.tokenizer_sha256, *(s.sha256 for side in (self.train, self.validation) for s in side.shards)
        )

    @property
    def loss(self) -> str:
        """The tokens that the loss covers: "all", or only those of the "completion"."""
        return "completion" if self.settings.get("loss") == "completion" else "all"

    @property
    def n_ids(self) -> int:
        """Below this are the numbers in the shards."""
        return n_ids(self.n_vocab, self.loss)

    def save(self, folder: Path) -> None:
        """Write it into `folder`, flushed to the disk. Raises DiskError."""
        content = {"format": _FORMAT, "version": _VERSION} | dataclasses.asdict(self)
        with write_file(folder / MANIFEST) as file:
            file.write(json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape"))


class ShardWriter:
    """Writes one side, shard after shard; `side` says at the end what is there."""

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any], shard_tokens: int) -> None:
        self._folder, self._name, self._dtype, self._most = folder, name, dtype, shard_tokens
        self._shards: list[Shard] = []
        self._waiting: list[NDArray[Any]] = []
        self._n_waiting = 0
        self.n_documents = 0

    def add(self, ids: NDArray[Any], n_documents: int) -> None:
        """Append ids in which so many documents begin. Raises DiskError."""
        self.n_documents += n_documents
        while len(ids):
            part = ids[: self._most - self._n_waiting]
            self._waiting.append(part)
            self._n_waiting += len(part)
            ids = ids[len(part) :]
            if self._n_waiting == self._most:
                self._flush()

    def side(self) -> Split:
        """Write what is left, and say what was written."""
        if self._n_waiting:
            self._flush()
        return Split(self.n_documents, sum(shard.n_tokens for shard in self._shards), tuple(self._shards))

    def _flush(self) -> None:
        name = f"{self._name}-{len(self._shards):05d}.bin"
        digest = hashlib.sha256()
        with write_file(self._folder / name) as file:
            for ids in self._waiting:
                _write(file, np.ascontiguousarray(ids, self._dtype).tobytes(), digest)
        self._shards.append(Shard(name, self._n_waiting, digest.hexdigest()))
        self._waiting, self._n_waiting = [], 0


class ShardedTokens:
    """Shards that read as one array: a slice, or whole numbers in any shape, gives their ids."""

    def __init__(self, arrays: list[NDArray[Any]]) -> None:
        self._arrays = arrays
        self._ends = np.cumsum([len(array) for array in arrays])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, places: Any) -> NDArray[Any]:
        if isinstance(places, slice):
            places = np.arange(*places.indices(len(self)))
        places = np.asarray(places)
        which = np.searchsorted(self._ends, places, side="right")
        found = np.empty(places.shape, self._arrays[0].dtype)
        for index in np.unique(which):
            inside = which == index
            begin = self._ends[index] - len(self._arrays[index])
            found[inside] = self._arrays[index][places[inside] - begin]
        return found


def read_shards(folder: Path, *, check: bool = True) -> tuple[Manifest, TextCodec, dict[str, ShardedTokens]]:
    """What a folder holds: its manifest, tokenizer and the ids of each side, mapped from the disk.

    check: read every shard once and compare its sha256. Raises BadInput naming the file.
    """
    manifest = read_manifest(folder)
    codec = load_codec(folder / "tokenizer.json")
    if codec.sha256 != manifest.tokenizer_sha256 or codec.n_vocab != manifest.n_vocab:
        raise _bad(folder / "tokenizer.json", "is not the one that the manifest names")
    found = {}
    for name in SPLITS:
        side: Split = getattr(manifest, name)
        found[name] = ShardedTokens([_mapped(folder, shard, manifest, check) for shard in side.shards])
    return manifest, codec, found


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder. Raises BadInput naming what is wrong with it."""
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_bytes())
        if raw.pop("format") != _FORMAT:
            raise ValueError(f"its `format` is not {_FORMAT}")
        if (version := raw.pop("version")) != _VERSION:
            raise ValueError(f"its version is {version!r:.20}, and this zeropoint reads {_VERSION}")
        sides = {name: _side(raw.pop(name)) for name in SPLITS}
        sources = {name: Fingerprint(**item) for name, item in raw.pop("sources").items()}
        manifest = Manifest(**raw, train=sides["train"], validation=sides["validation"], sources=sources)
        _check_manifest(manifest)
    except OSError as error:
        raise BadInput(
            f"{display_path(path)} cannot be read ({error.strerror}); name a folder that was prepared"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad(path, f"is no manifest of shards: {error}") from None
    return manifest


def _check_manifest(manifest: Manifest) -> None:
    if manifest.dtype not in _DTYPES or type(manifest.n_vocab) is not int:
        raise ValueError("`dtype` must be <u2 or <u4, `n_vocab` a whole number")
    if not isinstance(manifest.root, str) or not isinstance(manifest.settings, dict):
        raise ValueError("`root` must be a text, `settings` a table")
    if not 0 < manifest.n_ids <= 1 << 8 * np.dtype(manifest.dtype).itemsize:
        raise ValueError(f"{manifest.n_vocab} tokens have no room in {manifest.dtype}")


def _side(raw: dict[str, Any]) -> Split:
    shards = tuple(Shard(**item) for item in raw.pop("shards"))
    side = Split(**raw, shards=shards)
    for shard in shards:
        if type(shard.n_tokens) is not int or shard.n_tokens <= 0 or Path(shard.file).name != shard.file:
            raise ValueError(f"the shard {shard.file!r:.60} needs a plain name and `n_tokens` above 0")
    if sum(shard.n_tokens for shard in shards) != side.n_tokens:
        raise ValueError("`n_tokens` of a side is not the sum of its shards")
    return side


def _mapped(folder: Path, shard: Shard, manifest: Manifest, check: bool) -> NDArray[Any]:
    path, dtype = folder / shard.file, np.dtype(manifest.dtype)
    try:
        n_bytes = path.stat().st_size
        if n_bytes % dtype.itemsize:
            raise _bad(path, f"has {n_bytes:,} bytes, no whole number of ids of {dtype.itemsize} bytes")
        if n_bytes != shard.n_tokens * dtype.itemsize:
            raise _bad(path, f"has {n_bytes // dtype.itemsize:,} ids instead of {shard.n_tokens:,}")
        ids: NDArray[Any] = np.memmap(path, dtype, mode="r", shape=(shard.n_tokens,))
    except OSError as error:
        raise _bad(path, f"cannot be read ({error.strerror})") from None
    if check:
        digest, highest = hashlib.sha256(), 0
        for part in _parts(ids):
            digest.update(part.tobytes())
            highest = max(highest, int(part.max()))
        if highest >= manifest.n_ids:
            raise _bad(path, f"has the id {highest}, and the vocabulary ends at {manifest.n_ids - 1}")
        if digest.hexdigest() != shard.sha256:
            raise _bad(path, "has another sha256 than the manifest says")
    return ids


def _parts(ids: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(ids), _SCAN):
        yield ids[start : start + _SCAN]


def _write(file: BinaryIO, content: bytes, digest: Any) -> None:
    digest.update(content)
    file.write(content)


def _bad(path: Path, what: str) -> BadInput:
    return BadInput(f"{display_path(path)} {what}; prepare the data again")
