"""What a decoding method made, and what it cost: the common result of the readable methods here."""

from __future__ import annotations

from zeropoint.frozen import frozen

__all__ = ["Decoded"]


@frozen
class Decoded:
    """An answer. n_passes: forward passes of the model; n_rows: tokens that they read, prompt included."""

    ids: list[int]
    n_passes: int
    n_rows: int
