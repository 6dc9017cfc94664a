"""What is learned from and what is judged by, so that no text is in both.

Many documents: each goes where its content says (a hash of it), so equal ones go the same way, and a
document stays on its side when others come and go. One long text: its end is held out, as in nanoGPT.
"""

from __future__ import annotations

import hashlib

__all__ = ["hash_position", "split_text", "threshold"]

_WHOLE = 1 << 64


def hash_position(text: str) -> int:
    """Where a document stands among all there could be: 64 bits that depend on its content alone.

    Held out are those below `share` of them all. White space around a document is not its content.
    """
    return int.from_bytes(hashlib.sha256(text.strip().encode()).digest()[:8], "big")


def threshold(share: float, lowest: int, highest: int) -> int:
    """Positions below this are held out: `share` of all, but never none and never every document.

    lowest, highest: positions of the documents there are (from `position`), which differ.
    """
    return min(max(round(share * _WHOLE), lowest + 1), highest)


def split_text(text: str, share: float) -> tuple[str, str]:
    """One long text in two: the end, of that share of its characters, is held out."""
    n = int(len(text) * (1 - share))
    return text[:n], text[n:]
