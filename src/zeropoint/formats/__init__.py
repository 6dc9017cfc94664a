"""Weight formats (F16, Q8_0, Q4_K, ...), one module each, in numpy: the reference of `native/kernels/codes`.

A format module defines `BLOCK_WEIGHTS`, `BLOCK_BYTES`, `FILE_TYPE` (its value of `general.file_type` in the
GGUF specification), `unpack(bytes) -> float32` and `pack(float32) -> bytes`, both along the last axis. The
modules of this folder are the list of formats; those in _read_only have no `pack`. Start with q8_0, q4_0 and
q4_k; _blocks and _bits have the bit layouts, _search the scales.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, cast

from zeropoint.errors import BadInput, choices
from zeropoint.formats import _read_only

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Format", "check_writable", "get", "names", "writable"]


class Format(Protocol):
    """The interface of a format module."""

    BLOCK_WEIGHTS: int
    BLOCK_BYTES: int
    FILE_TYPE: int

    def unpack(self, packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Dequantize packed rows [..., n / BLOCK_WEIGHTS * BLOCK_BYTES] to weights [..., n]."""
        ...

    def pack(self, weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Quantize weights [..., n], n a multiple of BLOCK_WEIGHTS, to packed rows; only if writable."""
        ...


def names() -> list[str]:
    """Names of all formats in GGUF's spelling: BF16, F16, ..."""
    return sorted([*writable(), *_names(_read_only.__path__)])


def writable() -> list[str]:
    """Names of the formats that can be packed."""
    return _names(__path__)


def get(name: str) -> Format:
    """The format with this name, in any case. Raises BadInput for an unknown one."""
    if name.upper() not in names():
        raise BadInput(choices("weight format", name, names()))
    package = __name__ if name.upper() in writable() else _read_only.__name__
    return cast(Format, importlib.import_module(f"{package}.{name.lower()}"))


def check_writable(name: str) -> None:
    """Raise BadInput unless this format, in any case, can be packed; it names the format to use instead."""
    if name.upper() in writable():
        return
    if name.upper() not in names():
        raise BadInput(choices("format", name, writable()))
    module = importlib.import_module(f"{_read_only.__name__}.{name.lower()}")
    raise BadInput(
        f"zeropoint reads {name.upper()} but does not write it, because packing needs a search over the "
        f"points of a lattice; use {module.INSTEAD}, which is about as small"
    )


def _names(folders: Iterable[str]) -> list[str]:
    modules = (module.name for module in pkgutil.iter_modules(folders))
    return sorted(name.upper() for name in modules if not name.startswith("_"))
