"""Recognize an output that repeats itself without end, as small models do.

Only an exact repetition counts: once the text stops changing, it usually stays that way. The thresholds leave
room for what people ask for: a line twenty times, a table, rows of zeros, a ruler of dashes. Counted lists
never repeat exactly.
"""

from __future__ import annotations

import contextlib

__all__ = ["CHECK_EVERY", "repeated_tail"]

CHECK_EVERY = 16
"""Tokens between two checks; one check takes a few microseconds."""

_MAX_PERIOD = 128  # tokens: a paragraph
_MIN_REPEATS, _MIN_TOKENS, _MAX_TOKENS = 24, 128, 512


def repeated_tail(ids: list[int]) -> int | None:
    """The length of the text, in tokens, that the end of `ids` repeats; None if it does not repeat.

    A text of p <= 128 tokens must fill the last 24 p tokens, but at least 128 and at most 512: one token 128
    times, a sentence of ten tokens 24 times, a paragraph of 128 tokens four times.
    """
    n, latest = len(ids), ids[-_MAX_PERIOD - 1 :][::-1]
    period = 0
    if n < _MIN_TOKENS:
        return None
    with contextlib.suppress(ValueError):
        while True:
            period = latest.index(latest[0], period + 1)  # the other periods fail at the last token
            n_covered = min(max(_MIN_REPEATS * period, _MIN_TOKENS), _MAX_TOKENS)
            start = n - n_covered
            if start >= 0 and ids[start + period :] == ids[start : n - period]:
                return period
    return None
