"""Many short strings in one buffer: a Python string has 50 bytes of overhead."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import SupportsIndex, overload

__all__ = ["StringTable"]


class StringTable(Sequence[str]):
    """An immutable list of strings; every access decodes the item."""

    def __init__(self, strings: Iterable[str]) -> None:
        encoded = list(map(str.encode, strings))
        self._bytes = b"".join(encoded)
        self._ends = array("I" if len(self._bytes) < 1 << 32 else "Q", accumulate(map(len, encoded)))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[operator.index(index)]
        return self._bytes[self._ends[at - 1] if at else 0 : self._ends[at]].decode()
