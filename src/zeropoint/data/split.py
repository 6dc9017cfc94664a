"""Split text into training and validation parts that share nothing.

Many documents: a hash of its content assigns each, so equal documents are in the same part, and a document
stays in its part when others are added. One long text: its end is held out, as in nanoGPT.
"""

from __future__ import annotations

import hashlib

__all__ = ["hash_position", "split_text", "threshold"]

_RANGE = 1 << 64


def hash_position(text: str) -> int:
    """A 64-bit hash of a document's content, ignoring white space around it.

    Documents below a `threshold` of this range are for validation.
    """
    return int.from_bytes(hashlib.sha256(text.strip().encode()).digest()[:8], "big")


def threshold(share: float, lowest: int, highest: int) -> int:
    """The hash position below which documents are for validation: `share` of the range.

    lowest, highest: extremes of the documents' positions, which differ. The threshold leaves at least one
    document on each side.
    """
    return min(max(round(share * _RANGE), lowest + 1), highest)


def split_text(text: str, share: float) -> tuple[str, str]:
    """One long text as (training, validation); validation is the last `share` of its characters."""
    n = int(len(text) * (1 - share))
    return text[:n], text[n:]
