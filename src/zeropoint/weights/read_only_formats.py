"""Number formats of published weights that are read but never written: F64 and FP8.

FP8 has two layouts (Micikevicius et al., "FP8 formats for deep learning", 2022): E4M3 with a largest value of
448 and no infinity, and E5M2, which is the upper byte of an F16.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from zeropoint import formats

__all__ = ["FP8", "READABLE", "READ_ONLY", "unpack", "written_format"]

READ_ONLY = {"F64": "F32", "F8_E4M3": "BF16", "F8_E5M2": "BF16"}
"""Each format with the one that a conversion writes instead, unless it is given another."""
FP8 = ("F8_E4M3", "F8_E5M2")
READABLE = (*formats.names(), *READ_ONLY)
"""Every format in which a file may store weights."""


def written_format(form: str) -> str:
    """The format in which a conversion writes weights stored as `form`, by default."""
    return READ_ONLY.get(form, form)


def unpack(form: str, packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Weights from their bytes: uint8 [..., bytes per row] to float32 [..., weights per row].

    form: one of `READ_ONLY`. An F64 beyond the range of float32 becomes infinite.
    """
    if form == "F64":
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(packed).view("<f8").astype(np.float32)
    weights: npt.NDArray[np.float32] = _values(form)[packed]
    return weights


@cache
def _values(form: str) -> npt.NDArray[np.float32]:
    """The value of each of the 256 codes."""
    codes = np.arange(256, dtype=np.uint16)
    if form == "F8_E5M2":
        return (codes << 8).view(np.float16).astype(np.float32)
    exponent, mantissa = (codes >> 3 & 15).astype(np.float32), (codes & 7).astype(np.float32) / 8
    subnormal = exponent == 0
    values = np.where(subnormal, mantissa * 2.0**-6, (1 + mantissa) * 2.0 ** (exponent - 7))
    values[codes & 127 == 127] = np.nan
    return (values * np.where(codes & 128, -1, 1)).astype(np.float32)
