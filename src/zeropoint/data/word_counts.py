"""Word frequencies and co-occurrences, for word2vec and GloVe."""

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
    """The words of a text, most frequent first, and how often each occurs."""

    words: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, text: Iterable[str], min_count: int = 1) -> WordCounts:
        """Count words and drop those below `min_count`; ties are in alphabetical order."""
        counted = sorted(Counter(text).items(), key=lambda item: (-item[1], item[0]))
        frequent = [(word, count) for word, count in counted if count >= min_count]
        if len(frequent) < 2:
            raise BadInput(
                f"{len(frequent)} words occur at least {min_count} times; expected 2 or more; give more text"
            )
        return cls(*zip(*frequent, strict=True))

    def ids(self, text: Iterable[str]) -> Ids:
        """The ids of words; unknown words are skipped."""
        number = {word: i for i, word in enumerate(self.words)}
        return np.array([number[word] for word in text if word in number], np.int64)


def split_words(text: str) -> list[str]:
    """Lower-case words of letters, with an optional apostrophe inside."""
    return _WORD.findall(text.lower())


def context_pairs(ids: Ids, window: int) -> tuple[Ids, Ids]:
    """Each word paired with the `window` words before and after it: centres [P], neighbours [P]."""
    pairs = [(ids[distance:], ids[:-distance]) for distance in range(1, min(window, len(ids) - 1) + 1)]
    return (
        np.concatenate([side for left, right in pairs for side in (left, right)]),
        np.concatenate([side for left, right in pairs for side in (right, left)]),
    )


def cooccurrences(ids: Ids, window: int) -> tuple[Ids, Ids, NDArray[np.float64]]:
    """Words i [P] and j [P] and X_ij [P]: occurrences of j within `window` words of i, each 1 / distance.

    Pennington et al., "GloVe", 2014, section 4.2.
    """
    n_words = int(ids.max()) + 1
    keys, amounts = [], []
    for distance in range(1, min(window, len(ids) - 1) + 1):
        left, right = ids[distance:], ids[:-distance]
        keys += [left * n_words + right, right * n_words + left]
        amounts += [np.full(2 * len(left), 1 / distance)]
    pairs, pair_index = np.unique(np.concatenate(keys), return_inverse=True)
    counts = np.bincount(pair_index, np.concatenate(amounts)).astype(np.float64)
    return pairs // n_words, pairs % n_words, counts


def noise_distribution(counts: Sequence[int]) -> NDArray[np.float64]:
    """Probabilities of negative samples: normalized count^0.75 (Mikolov et al., 2013, section 2.2)."""
    raised = np.asarray(counts, np.float64) ** 0.75
    probabilities: NDArray[np.float64] = raised / raised.sum()
    return probabilities
