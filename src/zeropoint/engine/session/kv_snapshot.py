"""Save and restore the KV cache of a conversation, so that loading it skips the prefill.

File layout: magic and version, length of the JSON header, the header, token ids (int32), the blocks of the
cache as in memory (pages of keys and values, then recurrent states), and the SHA-256 of everything before it.
The file length follows from the header and is checked before anything else is read; the checksum is verified
before anything is used. Files are written atomically.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zeropoint.engine.native.engine import NativeEngine
from zeropoint.errors import BadInput, DiskError
from zeropoint.files.atomic_write import atomic_file, write_file
from zeropoint.files.json_text import parse_json
from zeropoint.files.regular_file import open_regular
from zeropoint.frozen import frozen

__all__ = ["load_cache", "save_cache"]

_MAGIC, _VERSION = b"ZPCACHE\n", 3
_START = struct.Struct("<8sII")  # magic, version, bytes of the header
_MAX_HEADER_BYTES = 4096
_DIGEST_BYTES = hashlib.sha256().digest_size
_BLOCK_BYTES = 1 << 20


@frozen
class _Header:
    """model: its fingerprint, 16 hexadecimal digits. cache: element type, window and sinks.

    n_tokens: length of the text. n_dropped: tokens of it that the window dropped. n_bytes: of all blocks.
    """

    model: str
    cache: str
    n_tokens: int
    n_dropped: int
    n_bytes: int

    @property
    def body_bytes(self) -> int:
        return 4 * self.n_tokens + self.n_bytes


def save_cache(engine: NativeEngine, ids: Sequence[int], path: Path) -> int:
    """Save the cached prefix of `ids`; returns its length in tokens. Raises BadInput, DiskError."""
    if path.exists():
        with _opened(path) as file:
            _read_start(file, path)  # never overwrite anything but a snapshot
    with contextlib.closing(engine.open_cached(ids)) as prefix:
        header = _Header(
            model=engine.fingerprint,
            cache=engine.cache_name,
            n_tokens=prefix.n_tokens,
            n_dropped=prefix.n_dropped,
            n_bytes=sum(prefix.block_bytes),
        )
        tokens = np.asarray(ids[: prefix.n_tokens], "<i4").tobytes()
        _write(
            path, header, itertools.chain([tokens], (prefix.block(i) for i in range(len(prefix.block_bytes))))
        )
        return header.n_tokens


def load_cache(engine: NativeEngine, path: Path) -> list[int]:
    """Restore a snapshot; returns the token ids it covers. Raises BadInput, DiskError, OutOfMemory."""
    with _opened(path) as file:
        header = _read_header(file, path)
        if header.model != engine.fingerprint:
            raise BadInput(f"{path} was saved with another model; load the model it belongs to")
        if header.cache != engine.cache_name:
            raise BadInput(
                f"{path} has a KV cache of {header.cache} and this model uses {engine.cache_name}; "
                "load the model with the same cache options"
            )
        sizes = engine.snapshot_sizes(header.n_tokens, header.n_dropped)
        if sum(sizes) != header.n_bytes:
            raise BadInput(
                f"{path} has {header.n_bytes} bytes of KV cache and its text needs {sum(sizes)} here; "
                "load the model with the context it was saved with"
            )
        _verify_checksum(file, path)
        ids: list[int] = np.frombuffer(_exactly(file, 4 * header.n_tokens, path), "<i4").tolist()
        blocks = (_exactly(file, n_bytes, path) for n_bytes in sizes)
        engine.restore(ids, header.n_dropped, blocks)
        return ids


def _write(path: Path, header: _Header, body: Iterable[bytes]) -> None:
    text = json.dumps(asdict(header)).encode()
    digest = hashlib.sha256()
    need_bytes = _START.size + len(text) + header.body_bytes + _DIGEST_BYTES
    # Readable by the owner only: conversations are private.
    with atomic_file(path, need_bytes=need_bytes, mode=0o600) as temporary, write_file(temporary) as file:
        for data in itertools.chain([_START.pack(_MAGIC, _VERSION, len(text)), text], body):
            digest.update(data)
            file.write(data)
        file.write(digest.digest())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with open_regular(path) as file:
            yield file
    except FileNotFoundError:
        raise BadInput(f"there is no file {path}; check the name") from None
    except OSError as error:
        raise DiskError(f"cannot read {path} ({error.strerror}); check its name and permissions") from None


def _read_start(file: BinaryIO, path: Path) -> int:
    """Check magic and version; returns the length of the header in bytes."""
    start = file.read(_START.size)
    if len(start) < _START.size or not start.startswith(_MAGIC):
        raise BadInput(f"{path} is not a saved KV cache; choose another name")
    _, version, n_bytes = _START.unpack(start)
    if version != _VERSION:
        raise BadInput(f"{path}: `version` is {version} and must be {_VERSION}; save the conversation again")
    if n_bytes > _MAX_HEADER_BYTES:
        raise BadInput(f"{path}: the header is too long; the file is damaged")
    return int(n_bytes)


def _read_header(file: BinaryIO, path: Path) -> _Header:
    n_bytes = _read_start(file, path)
    try:
        fields = parse_json(_exactly(file, n_bytes, path))
        header = _Header(**fields)
    except (ValueError, TypeError):
        raise BadInput(f"{path}: the header cannot be read; the file is damaged") from None
    for name, kind in _Header.__annotations__.items():
        value = getattr(header, name)
        is_valid = isinstance(value, str) if kind == "str" else type(value) is int and 0 <= value < 2**40
        if not is_valid:
            raise BadInput(f"{path}: `{name}` has an invalid value; the file is damaged")
    if not header.n_dropped <= header.n_tokens < 2**31:
        raise BadInput(f"{path}: `n_dropped` and `n_tokens` contradict each other; the file is damaged")
    expected = _START.size + n_bytes + header.body_bytes + _DIGEST_BYTES
    if os.fstat(file.fileno()).st_size != expected:
        raise BadInput(f"{path} must have {expected} bytes; the file is damaged")
    return header


def _verify_checksum(file: BinaryIO, path: Path) -> None:
    """Compare the checksum at the end with everything before it; the file position stays as it is."""
    position = file.tell()
    n_left = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
    digest = hashlib.sha256()
    file.seek(0)
    while n_left > 0:
        block = _exactly(file, min(n_left, _BLOCK_BYTES), path)
        digest.update(block)
        n_left -= len(block)
    if file.read() != digest.digest():
        raise BadInput(f"{path}: the checksum does not match; the file is damaged")
    file.seek(position)


def _exactly(file: BinaryIO, n: int, path: Path) -> bytes:
    data = file.read(n)
    if len(data) != n:
        raise BadInput(f"{path} ends too early; the file is damaged")
    return data
