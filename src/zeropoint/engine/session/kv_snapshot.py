"""The cache of a conversation on disk, so that it goes on without being read again.

A file is: magic and version, the length of a JSON header, the header, the token ids (int32), the pages as
they lie in memory, and the SHA-256 of all that. Its length follows from its header, and is compared before
anything is read; the checksum is compared before anything is used. Written beside, flushed, renamed.
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
from zeropoint.frozen import frozen

__all__ = ["load_cache", "save_cache"]

_MAGIC, _VERSION = b"ZPCACHE\n", 2
_START = struct.Struct("<8sII")  # magic, version, bytes of the header
_MOST_HEADER_BYTES = 4096
_SUM_BYTES = hashlib.sha256().digest_size
_BLOCK_BYTES = 1 << 20


@frozen
class _Header:
    """model: its fingerprint, 16 hexadecimal digits. cache: type of an element, window and sinks.

    n_tokens: of the text. n_dropped: of those, left behind by the window. n_pages, page_bytes: what follows.
    """

    model: str
    cache: str
    n_tokens: int
    n_dropped: int
    n_pages: int
    page_bytes: int

    @property
    def body_bytes(self) -> int:
        return 4 * self.n_tokens + self.n_pages * self.page_bytes


def save_cache(engine: NativeEngine, ids: Sequence[int], path: Path) -> int:
    """Write what the cache holds of the start of `ids`; the number of tokens. Raises BadInput, DiskError."""
    if path.exists():
        with _opened(path) as file:
            _start(file, path)  # refuses to overwrite what is no saved cache
    with contextlib.closing(engine.open_cached(ids)) as held:
        header = _Header(
            model=engine.fingerprint,
            cache=engine.cache_name,
            n_tokens=held.n_tokens,
            n_dropped=held.n_dropped,
            n_pages=held.n_pages,
            page_bytes=engine.page_bytes,
        )
        tokens = np.asarray(ids[: held.n_tokens], "<i4").tobytes()
        _write(path, header, itertools.chain([tokens], (held.page(i) for i in range(held.n_pages))))
        return header.n_tokens


def load_cache(engine: NativeEngine, path: Path) -> list[int]:
    """Put a saved cache back; the token ids that are held now. Raises BadInput, DiskError, OutOfMemory."""
    with _opened(path) as file:
        header = _read_header(file, path)
        if header.model != engine.fingerprint:
            raise BadInput(f"{path} was saved with another model; load the model it belongs to")
        if header.cache != engine.cache_name or header.page_bytes != engine.page_bytes:
            raise BadInput(
                f"{path} holds a cache of {header.cache} and this model keeps {engine.cache_name}; "
                "load the model with the same cache options"
            )
        _check_sum(file, path)
        ids: list[int] = np.frombuffer(_exactly(file, 4 * header.n_tokens, path), "<i4").tolist()
        pages = (_exactly(file, header.page_bytes, path) for _ in range(header.n_pages))
        engine.restore(ids, header.n_dropped, pages)
        return ids


def _write(path: Path, header: _Header, body: Iterable[bytes]) -> None:
    text = json.dumps(asdict(header)).encode()
    digest = hashlib.sha256()
    need_bytes = _START.size + len(text) + header.body_bytes + _SUM_BYTES
    # For the owner alone: it is what was said.
    with atomic_file(path, need_bytes=need_bytes, mode=0o600) as temporary, write_file(temporary) as file:
        for data in itertools.chain([_START.pack(_MAGIC, _VERSION, len(text)), text], body):
            digest.update(data)
            file.write(data)
        file.write(digest.digest())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        if not path.is_file():
            raise BadInput(f"there is no file {path}; check the name")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise DiskError(f"cannot read {path} ({error.strerror}); check its name and permissions") from None


def _start(file: BinaryIO, path: Path) -> int:
    """Bytes of the header that follows."""
    start = file.read(_START.size)
    if len(start) < _START.size or not start.startswith(_MAGIC):
        raise BadInput(f"{path} is no saved cache; choose another name")
    _, version, n_bytes = _START.unpack(start)
    if version != _VERSION:
        raise BadInput(f"{path}: `version` is {version} and must be {_VERSION}; save the conversation again")
    if n_bytes > _MOST_HEADER_BYTES:
        raise BadInput(f"{path}: the header is too long; the file is damaged")
    return int(n_bytes)


def _read_header(file: BinaryIO, path: Path) -> _Header:
    n_bytes = _start(file, path)
    try:
        fields = json.loads(_exactly(file, n_bytes, path).decode())
        header = _Header(**fields)
    except (ValueError, TypeError, RecursionError):
        raise BadInput(f"{path}: the header cannot be read; the file is damaged") from None
    for name, kind in _Header.__annotations__.items():
        value = getattr(header, name)
        is_right = isinstance(value, str) if kind == "str" else type(value) is int and 0 <= value < 2**40
        if not is_right:
            raise BadInput(f"{path}: `{name}` is not what it should be; the file is damaged")
    if not header.n_dropped <= header.n_tokens < 2**31:
        raise BadInput(f"{path}: `n_dropped` and `n_tokens` are not of one text; the file is damaged")
    expected = _START.size + n_bytes + header.body_bytes + _SUM_BYTES
    if os.fstat(file.fileno()).st_size != expected:
        raise BadInput(f"{path} should have {expected} bytes and has another length; the file is damaged")
    return header


def _check_sum(file: BinaryIO, path: Path) -> None:
    """Compare the checksum at the end with all before it, and come back to here."""
    here = file.tell()
    left = os.fstat(file.fileno()).st_size - _SUM_BYTES
    digest = hashlib.sha256()
    file.seek(0)
    while left > 0:
        block = _exactly(file, min(left, _BLOCK_BYTES), path)
        digest.update(block)
        left -= len(block)
    if file.read() != digest.digest():
        raise BadInput(f"{path}: the checksum does not match; the file is damaged")
    file.seek(here)


def _exactly(file: BinaryIO, n: int, path: Path) -> bytes:
    data = file.read(n)
    if len(data) != n:
        raise BadInput(f"{path} ends too early; the file is damaged")
    return data
