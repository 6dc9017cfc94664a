"""A text as words that are counted, and as pairs of words that stand near each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import BadInput

__all__ = ["WordCounts", "context_pairs", "cooccurrences", "noise_distribution", "split_words"]

Ids = NDArray[np.int64]

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


@dataclass(frozen=True)
class WordCounts:
    """The words of a text, the most frequent first, and how often each occurs."""

    words: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, text: Iterable[str], least: int = 1) -> WordCounts:
        """Those that occur at least so often; of equals, in the order of the alphabet."""
        counted = sorted(Counter(text).items(), key=lambda item: (-item[1], item[0]))
        kept = [(word, count) for word, count in counted if count >= least]
        if len(kept) < 2:
            raise BadInput(
                f"{len(kept)} words occur {least} times or more; expected at least 2, so give more text"
            )
        return cls(*zip(*kept, strict=True))

    def ids(self, text: Iterable[str]) -> Ids:
        """The words' numbers; words that are not known are left out."""
        number = {word: i for i, word in enumerate(self.words)}
        return np.array([number[word] for word in text if word in number], np.int64)


def split_words(text: str) -> list[str]:
    """Lower-cased words of letters, with an apostrophe inside."""
    return _WORD.findall(text.lower())


def context_pairs(ids: Ids, window: int) -> tuple[Ids, Ids]:
    """Every word with each of the `window` words before and after it: centres [P], neighbours [P]."""
    pairs = [(ids[distance:], ids[:-distance]) for distance in range(1, min(window, len(ids) - 1) + 1)]
    return (
        np.concatenate([side for left, right in pairs for side in (left, right)]),
        np.concatenate([side for left, right in pairs for side in (right, left)]),
    )


def cooccurrences(ids: Ids, window: int) -> tuple[Ids, Ids, NDArray[np.float64]]:
    """Words i and j, and X_ij: how often j stands within `window` words of i, each time counted 1 / distance.

    Pennington et al., "GloVe", 2014, section 4.2.
    """
    n_words = int(ids.max()) + 1
    keys, amounts = [], []
    for distance in range(1, min(window, len(ids) - 1) + 1):
        left, right = ids[distance:], ids[:-distance]
        keys += [left * n_words + right, right * n_words + left]
        amounts += [np.full(2 * len(left), 1 / distance)]
    found, place = np.unique(np.concatenate(keys), return_inverse=True)
    counts = np.bincount(place, np.concatenate(amounts)).astype(np.float64)
    return found // n_words, found % n_words, counts


def noise_distribution(counts: Sequence[int]) -> NDArray[np.float64]:
    """What wrong words are drawn with: probabilities as count^0.75 (Mikolov et al., 2013, section 2.2)."""
    raised = np.asarray(counts, np.float64) ** 0.75
    probabilities: NDArray[np.float64] = raised / raised.sum()
    return probabilities
