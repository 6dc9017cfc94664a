"""Many short texts in one piece of memory: a Python string takes 50 bytes before its first character."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import SupportsIndex, overload

__all__ = ["StringTable"]


class StringTable(Sequence[str]):
    """An unchanging list of texts; an item is decoded each time it is asked for."""

    def __init__(self, texts: Iterable[str]) -> None:
        pieces = list(map(str.encode, texts))
        self._bytes = b"".join(pieces)
        self._ends = array("I" if len(self._bytes) < 1 << 32 else "Q", accumulate(map(len, pieces)))

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
