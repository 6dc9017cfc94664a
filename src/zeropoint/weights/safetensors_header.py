"""The header of a safetensors file: checked as its specification says, and in everything it leaves open.

Format: 8 bytes with the header's length (little-endian), JSON, then the tensors without gaps. The JSON has a
fixed shape, so it is scanned rather than parsed: whatever leaves that shape ends the scan, and memory grows
with the entries accepted, not with what a file claims.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zeropoint.errors import BadModelFile

__all__ = ["BYTES_OF", "MAX_HEADER_BYTES", "Entry", "header_bytes", "parse_header"]

MAX_HEADER_BYTES = 100_000_000  # the reference's limit
MAX_TENSORS = 1 << 17  # in one file; the largest published models have some thousands
MAX_DIMENSIONS = 8
BYTES_OF = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E5M2": 1, "F8_E4M3": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip

_SPACE = re.compile(r"[ \t\n\r]*")
_TEXT = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\.)*+"')
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,19})(?![0-9.eE])")
_MAX_METADATA = 1 << 12  # entries
_LARGEST = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: its type, shape, and where its bytes begin and end after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def header_bytes(head: bytes, file_bytes: int, name: str) -> int:
    """Length of the JSON that the first 8 bytes of a file announce, checked against the file's size."""
    if len(head) < 8:
        raise BadModelFile(f"{name} has {file_bytes} bytes, too few for a safetensors file; fetch it again")
    n = int.from_bytes(head[:8], "little")
    if n > MAX_HEADER_BYTES or n > file_bytes - 8:
        raise BadModelFile(
            f"{name}: the header has {n} bytes by its first 8; it may have at most "
            f"{min(MAX_HEADER_BYTES, file_bytes - 8)}: it is no safetensors file, or it is cut off"
        )
    return n


def parse_header(header: bytes, data_bytes: int, name: str) -> tuple[dict[str, Entry], dict[str, str]]:
    """The tensors in a header in the order of their bytes, and its `__metadata__`.

    data_bytes: how many bytes follow the header. Raises BadModelFile naming the file and the fault.
    """
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadModelFile(f"{name}: byte {error.start} of the header is not valid UTF-8") from None
    scan = _Scan(text, name)
    entries, metadata = _entries(scan)
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    _check_layout(ordered, data_bytes, name)
    return ordered, metadata


def _entries(scan: _Scan) -> tuple[dict[str, Entry], dict[str, str]]:
    entries: dict[str, Entry] = {}
    metadata: dict[str, str] | None = None
    scan.first("{")
    for key in scan.members():
        if key == "__metadata__":
            if metadata is not None:
                raise scan.bad("`__metadata__` occurs twice")
            metadata = _metadata(scan)
        elif key in entries:
            raise scan.bad(f"the tensor {key!a:.80} occurs twice")
        elif len(entries) == MAX_TENSORS:
            raise scan.bad(f"it has more than {MAX_TENSORS} tensors")
        else:
            entries[key] = _entry(scan, key)
    scan.end()
    return entries, metadata or {}


def _metadata(scan: _Scan) -> dict[str, str]:
    found: dict[str, str] = {}
    scan.take("{", "`__metadata__` must be an object of texts")
    for key in scan.members():
        if key in found or len(found) == _MAX_METADATA:
            raise scan.bad(f"`__metadata__` has {key!a:.80} twice, or too many names")
        found[key] = scan.text("`__metadata__` must be an object of texts")
    return found


def _entry(scan: _Scan, key: str) -> Entry:
    fields: dict[str, Any] = {}
    about = f"tensor {key!a:.80}"
    scan.take("{", f"{about} must be an object")
    for field in scan.members():
        if field in fields:
            raise scan.bad(f"{about} has `{field}` twice")
        if field == "dtype":
            fields[field] = scan.text(f"the dtype of {about} must be a text")
        elif field == "shape":
            fields[field] = scan.numbers(f"the shape of {about}", MAX_DIMENSIONS)
        elif field == "data_offsets":
            fields[field] = scan.numbers(f"the data_offsets of {about}", 2)
        else:
            raise scan.bad(f"{about} has the unknown field {field!a:.80}")
    if missing := {"dtype", "shape", "data_offsets"} - fields.keys():
        raise scan.bad(f"{about} lacks `{min(missing)}`")
    if len(fields["data_offsets"]) != 2:
        raise scan.bad(f"the data_offsets of {about} must be two numbers")
    return Entry(fields["dtype"], tuple(fields["shape"]), *fields["data_offsets"])


def _check_layout(entries: dict[str, Entry], data_bytes: int, name: str) -> None:
    """Every byte belongs to one tensor, and each tensor has the bytes that its shape asks for."""
    at = 0
    for key, entry in entries.items():
        about = f"{name}: tensor {key!a:.80}"
        if entry.dtype not in BYTES_OF:
            raise BadModelFile(f"{about} has the unknown dtype {entry.dtype!a:.40}")
        if entry.begin > entry.end or entry.begin != at:
            raise BadModelFile(
                f"{about} has the data_offsets [{entry.begin}, {entry.end}]; by the one before it they must "
                f"begin at {at}"
            )
        if entry.end > data_bytes:
            raise BadModelFile(f"{about} ends at byte {entry.end} of {data_bytes}; fetch the file again")
        wanted = math.prod(entry.shape) * BYTES_OF[entry.dtype]  # of Python's own integers: it cannot wrap
        if wanted != entry.end - entry.begin:
            raise BadModelFile(
                f"{about} of shape {list(entry.shape)} needs {wanted} bytes; its data_offsets hold "
                f"{entry.end - entry.begin}"
            )
        at = entry.end
    if at != data_bytes:
        raise BadModelFile(f"{name} has {data_bytes - at} bytes after its last tensor; fetch it again")


class _Scan:
    """A place in the header's text that only moves on."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name, self._at = text, name, 0

    def bad(self, what: str) -> BadModelFile:
        return BadModelFile(f"{self._name}: the header near character {self._at}: {what}")

    def first(self, character: str) -> None:
        if not self._text.startswith(character):
            raise self.bad(f"it must begin with {character}; it is no safetensors file")
        self._at = 1

    def end(self) -> None:
        self._skip()
        if self._at != len(self._text):
            raise self.bad("something follows the last }")

    def take(self, character: str, otherwise: str) -> None:
        if not self._take(character):
            raise self.bad(otherwise)

    def members(self) -> Iterator[str]:
        """The keys of an object whose { was taken; between two of them the caller takes the value."""
        if self._take("}"):
            return
        while True:
            key = self.text("a name in quotes is missing")
            self.take(":", "a name must be followed by a colon")
            yield key
            if self._take("}"):
                return
            self.take(",", "a comma or } is missing")

    def text(self, otherwise: str) -> str:
        self._skip()
        match = _TEXT.match(self._text, self._at)
        if match is None:
            raise self.bad(otherwise)
        try:
            text: str = json.loads(match[0])
            text.encode()
        except ValueError:  # a bad escape, a lone surrogate
            raise self.bad("a text has an escape that is not valid") from None
        self._at = match.end()
        return text

    def numbers(self, about: str, most: int) -> list[int]:
        numbers: list[int] = []
        self.take("[", f"{about} must be a list of whole numbers")
        if self._take("]"):
            return numbers
        while True:
            self._skip()
            match = _NUMBER.match(self._text, self._at)
            if match is None or (number := int(match[0])) > _LARGEST or len(numbers) == most:
                raise self.bad(f"{about} must be at most {most} whole numbers, none negative")
            self._at = match.end()
            numbers.append(number)
            if self._take("]"):
                return numbers
            self.take(",", f"{about} must be a list of whole numbers")

    def _take(self, character: str) -> bool:
        self._skip()
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _skip(self) -> None:
        if match := _SPACE.match(self._text, self._at):
            self._at = match.end()
