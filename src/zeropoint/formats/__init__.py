"""Weight formats, one file each: how a block of weights lies in bytes, and numpy to pack and unpack it.

These are the readable form and the oracle of `native/formats`. A format is a module with `BLOCK_WEIGHTS`,
`BLOCK_BYTES`, `FILE_TYPE` (what `general.file_type` of the GGUF specification calls a file of it),
`unpack(bytes) -> float32` and `pack(float32) -> bytes`, both along the last axis; the folder is the list.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Protocol, cast

from zeropoint.errors import BadInput, choices

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Format", "get", "names"]


class Format(Protocol):
    """What every module of this folder offers."""

    BLOCK_WEIGHTS: int
    BLOCK_BYTES: int
    FILE_TYPE: int

    def unpack(self, packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Weights [..., n] of the packed rows [..., n / BLOCK_WEIGHTS * BLOCK_BYTES]."""
        ...

    def pack(self, weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Packed rows of the weights [..., n]; n is a multiple of BLOCK_WEIGHTS."""
        ...


def names() -> list[str]:
    """The formats that there are, as GGUF spells them: BF16, F16, ..."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.upper() for name in found if not name.startswith("_"))


def get(name: str) -> Format:
    """The format of that name in any case, or BadInput with the list."""
    if name.upper() not in names():
        raise BadInput(choices("weight format", name, names()))
    return cast(Format, importlib.import_module(f"{__name__}.{name.lower()}"))
