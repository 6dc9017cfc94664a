"""Token ids on disk: memory-mapped shards, and a manifest to verify them.

    DIR/manifest.json         sizes, hashes, sources, settings
    DIR/tokenizer.json
    DIR/train-00000.bin ...   ids, little-endian, without a header
    DIR/validation-00000.bin

Shards are cut at any token; the concatenated shards of a split are its text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.data.completion_loss import n_ids
from zeropoint.data.fingerprints import Fingerprint
from zeropoint.data.text_codec import TextCodec, load_codec
from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import write_file
from zeropoint.files.hashing import combined_sha256
from zeropoint.files.json_text import read_json
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
_MAX_MANIFEST_BYTES = 64 << 20
_SCAN_TOKENS = 1 << 22  # ids to verify at a time


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of token ids."""

    file: str
    n_tokens: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Split:
    """The training or the validation part."""

    n_documents: int
    n_tokens: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a folder of shards, and its sources.

    settings: those of `prepare`. root: the source file or folder. sources: fingerprints of its files by name.
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
    def dtype_name(self) -> str:
        """The type of a stored id in words: "uint16" or "uint32", little-endian."""
        return np.dtype(self.dtype).name

    @property
    def sha256(self) -> str:
        """One SHA-256 (hex) for the tokenizer and all shards."""
        return combined_sha256(
            self.tokenizer_sha256,
            *(s.sha256 for split in (self.train, self.validation) for s in split.shards),
        )

    @property
    def loss(self) -> str:
        """The tokens that the loss covers: "all", or only those of the "completion"."""
        return "completion" if self.settings.get("loss") == "completion" else "all"

    @property
    def n_ids(self) -> int:
        """Upper bound of the ids in the shards, including the mark of prompts."""
        return n_ids(self.n_vocab, self.loss)

    def save(self, folder: Path) -> None:
        """Write the manifest into `folder`, flushed to disk. Raises DiskError."""
        content = {"format": _FORMAT, "version": _VERSION} | dataclasses.asdict(self)
        with write_file(folder / MANIFEST) as file:
            file.write(json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape"))


class ShardWriter:
    """Write the shards of one split; `finish` returns what was written."""

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any], shard_tokens: int) -> None:
        self._folder, self._name, self._dtype, self._shard_tokens = folder, name, dtype, shard_tokens
        self._shards: list[Shard] = []
        self._pending: list[NDArray[Any]] = []
        self._n_pending = 0
        self.n_documents = 0

    def add(self, ids: NDArray[Any], n_documents: int) -> None:
        """Append ids in which `n_documents` documents begin. Raises DiskError."""
        self.n_documents += n_documents
        while len(ids):
            part = ids[: self._shard_tokens - self._n_pending]
            self._pending.append(part)
            self._n_pending += len(part)
            ids = ids[len(part) :]
            if self._n_pending == self._shard_tokens:
                self._flush()

    def finish(self) -> Split:
        """Write the last shard and return the split."""
        if self._n_pending:
            self._flush()
        return Split(self.n_documents, sum(shard.n_tokens for shard in self._shards), tuple(self._shards))

    def _flush(self) -> None:
        name = f"{self._name}-{len(self._shards):05d}.bin"
        digest = hashlib.sha256()
        with write_file(self._folder / name) as file:
            for ids in self._pending:
                content = np.ascontiguousarray(ids, self._dtype).tobytes()
                digest.update(content)
                file.write(content)
        self._shards.append(Shard(name, self._n_pending, digest.hexdigest()))
        self._pending, self._n_pending = [], 0


class ShardedTokens:
    """Shards that read like one array: index with a slice or an integer array of any shape."""

    def __init__(self, arrays: list[NDArray[Any]]) -> None:
        self._arrays = arrays
        self._ends = np.cumsum([len(array) for array in arrays])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, indices: Any) -> NDArray[Any]:
        if isinstance(indices, slice):
            indices = np.arange(*indices.indices(len(self)))
        indices = np.asarray(indices)
        shard_numbers = np.searchsorted(self._ends, indices, side="right")
        ids = np.empty(indices.shape, self._arrays[0].dtype)
        for number in np.unique(shard_numbers):
            is_inside = shard_numbers == number
            begin = self._ends[number] - len(self._arrays[number])
            ids[is_inside] = self._arrays[number][indices[is_inside] - begin]
        return ids


def read_shards(folder: Path, *, check: bool = True) -> tuple[Manifest, TextCodec, dict[str, ShardedTokens]]:
    """The manifest, the tokenizer and the memory-mapped ids of each split.

    check: read every shard once and verify its SHA-256. Raises BadInput naming the file.
    """
    manifest = read_manifest(folder)
    codec = load_codec(folder / "tokenizer.json")
    if codec.sha256 != manifest.tokenizer_sha256 or codec.n_vocab != manifest.n_vocab:
        raise _invalid(folder / "tokenizer.json", "does not match the manifest")
    ids = {}
    for name in SPLITS:
        split: Split = getattr(manifest, name)
        ids[name] = ShardedTokens([_map_shard(folder, shard, manifest, check) for shard in split.shards])
    return manifest, codec, ids


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder. Raises BadInput naming the problem."""
    path = folder / MANIFEST
    try:
        raw = read_json(path, _MAX_MANIFEST_BYTES)
        if raw.pop("format") != _FORMAT:
            raise ValueError(f"`format` must be {_FORMAT}")
        if (version := raw.pop("version")) != _VERSION:
            raise ValueError(f"`version` is {version!r:.20}, but this zeropoint reads {_VERSION}")
        splits = {name: _parse_split(raw.pop(name)) for name in SPLITS}
        sources = {name: Fingerprint(**item) for name, item in raw.pop("sources").items()}
        manifest = Manifest(**raw, train=splits["train"], validation=splits["validation"], sources=sources)
        _check_manifest(manifest)
    except OSError as error:
        raise BadInput(
            f"{display_path(path)} cannot be read ({error.strerror}); give a folder made by `data prepare`"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _invalid(path, f"is not a valid manifest of shards ({error})") from None
    return manifest


def _check_manifest(manifest: Manifest) -> None:
    if manifest.dtype not in _DTYPES or type(manifest.n_vocab) is not int:
        raise ValueError("`dtype` must be <u2 or <u4, `n_vocab` an integer")
    if not isinstance(manifest.root, str) or not isinstance(manifest.settings, dict):
        raise ValueError("`root` must be text, `settings` a table")
    if not 0 < manifest.n_ids <= 1 << 8 * np.dtype(manifest.dtype).itemsize:
        raise ValueError(f"a vocabulary of {manifest.n_vocab} does not fit in {manifest.dtype}")


def _parse_split(raw: dict[str, Any]) -> Split:
    shards = tuple(Shard(**item) for item in raw.pop("shards"))
    split = Split(**raw, shards=shards)
    for shard in shards:
        if type(shard.n_tokens) is not int or shard.n_tokens <= 0 or Path(shard.file).name != shard.file:
            raise ValueError(f"the shard {shard.file!r:.60} needs a plain name and `n_tokens` above 0")
    if sum(shard.n_tokens for shard in shards) != split.n_tokens:
        raise ValueError("`n_tokens` of a split must be the sum of its shards")
    return split


def _map_shard(folder: Path, shard: Shard, manifest: Manifest, check: bool) -> NDArray[Any]:
    path, dtype = folder / shard.file, np.dtype(manifest.dtype)
    try:
        n_bytes = path.stat().st_size
        if n_bytes % dtype.itemsize:
            raise _invalid(path, f"has {n_bytes:,} bytes, which is not a multiple of {dtype.itemsize}")
        if n_bytes != shard.n_tokens * dtype.itemsize:
            raise _invalid(path, f"has {n_bytes // dtype.itemsize:,} ids instead of {shard.n_tokens:,}")
        ids: NDArray[Any] = np.memmap(path, dtype, mode="r", shape=(shard.n_tokens,))
    except OSError as error:
        raise _invalid(path, f"cannot be read ({error.strerror})") from None
    if check:
        _verify(path, ids, shard, manifest)
    return ids


def _verify(path: Path, ids: NDArray[Any], shard: Shard, manifest: Manifest) -> None:
    digest, max_id = hashlib.sha256(), 0
    for start in range(0, len(ids), _SCAN_TOKENS):
        part = ids[start : start + _SCAN_TOKENS]
        digest.update(part.tobytes())
        max_id = max(max_id, int(part.max()))
    if max_id >= manifest.n_ids:
        raise _invalid(path, f"has the id {max_id}, but the highest id is {manifest.n_ids - 1}")
    if digest.hexdigest() != shard.sha256:
        raise _invalid(path, "has a different sha256 than the manifest")


def _invalid(path: Path, problem: str) -> BadInput:
    return BadInput(f"{display_path(path)} {problem}; prepare the data again")
