"""The lattice of a word's segmentations: the most probable one, and each piece's expected count.

A segmentation's log-probability is the sum of its pieces' log-probabilities. All loops run over (begin, end).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

__all__ = ["MAX_PIECE_CHARS", "expected_counts", "viterbi"]

MAX_PIECE_CHARS = 12  # longer pieces are not considered


def viterbi(
    word: str, pieces: Mapping[str, float], unknown: float, *, excluding: str | None = None
) -> list[str]:
    """The most probable segmentation (Viterbi); among equals, the one with the longer last piece.

    unknown: log-probability of a single character that is not a piece. excluding: a piece not to use.
    """
    best = [0.0] + [-math.inf] * len(word)
    begins = [0] * (len(word) + 1)
    for end in range(1, len(word) + 1):
        begins[end] = end - 1
        for begin in range(max(0, end - MAX_PIECE_CHARS), end):
            piece = word[begin:end]
            score = pieces.get(piece, unknown if end - begin == 1 else -math.inf)
            if piece != excluding and best[begin] + score > best[end]:
                best[end], begins[end] = best[begin] + score, begin
    segments = []
    end = len(word)
    while end:
        segments.append(word[begins[end] : end])
        end = begins[end]
    return segments[::-1]


def expected_counts(word: str, pieces: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    """(log-probability of the word, expected count of each piece), by forward-backward.

    Every character of the word must be a piece.
    """
    spans = list(_spans(word, pieces))
    forward = [0.0] + [-math.inf] * len(word)  # log-probability of all segmentations of word[:i]
    for begin, end, score in spans:
        forward[end] = _log_add(forward[end], forward[begin] + score)
    backward = [-math.inf] * len(word) + [0.0]  # the same for word[i:]
    for begin, end, score in reversed(spans):
        backward[begin] = _log_add(backward[begin], backward[end] + score)
    log_z = forward[-1]
    expected: dict[str, float] = {}
    for begin, end, score in spans:
        piece = word[begin:end]
        posterior = math.exp(forward[begin] + score + backward[end] - log_z)
        expected[piece] = expected.get(piece, 0.0) + posterior
    return log_z, expected


def _spans(word: str, pieces: Mapping[str, float]) -> Iterator[tuple[int, int, float]]:
    """(begin, end, log-probability) of each piece in the word, ordered by begin, then end."""
    for begin in range(len(word)):
        for end in range(begin + 1, min(begin + MAX_PIECE_CHARS, len(word)) + 1):
            score = pieces.get(word[begin:end])
            if score is not None:
                yield begin, end, score


def _log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))
