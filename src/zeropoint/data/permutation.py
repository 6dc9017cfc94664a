"""A shuffled order that nobody has to keep: place k of n is computed from the seed, in constant memory.

A Feistel network over the numbers below 4^h >= n, walked until it lands below n (Black and Rogaway, "Ciphers
with arbitrary finite domains", 2002): a permutation, so every number comes once. Resume and workers ask for
the places they want; there is no state to save.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Permutation", "shuffled_indices"]

_ROUNDS = 6
U64 = np.uint64


@dataclass(frozen=True, eq=False)
class Permutation:
    """Of the numbers 0 to n - 1. keys: one a round [_ROUNDS]."""

    n: int
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, n: int, *seeds: int) -> Permutation:
        """The permutation that those whole numbers (a seed, an epoch) stand for."""
        return cls(n, np.random.SeedSequence(seeds).generate_state(_ROUNDS, np.uint64).astype(U64))

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers at `places` (each 0 to n - 1), in any order and shape."""
        half = max(1, ((self.n - 1).bit_length() + 1) // 2)
        found = places.astype(U64)
        is_out = np.ones(found.shape, bool)
        while is_out.any():  # at most 3 of 4 numbers are out, so this ends soon
            found[is_out] = self._round_trip(found[is_out], half)
            is_out = found >= U64(self.n)
        return found.astype(np.int64)

    def _round_trip(self, numbers: NDArray[np.uint64], half: int) -> NDArray[np.uint64]:
        mask = U64((1 << half) - 1)
        left, right = numbers >> U64(half), numbers & mask
        for key in self.keys:
            left, right = right, left ^ (_mixed(right ^ key) & mask)
        return (left << U64(half)) | right


def shuffled_indices(n: int, seed: int, first: int, count: int) -> NDArray[np.int64]:
    """`count` numbers of an endless series from place `first` on: those below n shuffled, then anew, ..."""
    places = np.arange(first, first + count, dtype=np.int64)
    epochs = places // n
    found = np.empty(count, np.int64)
    for epoch in np.unique(epochs):
        inside = epochs == epoch
        found[inside] = Permutation.of(n, seed, int(epoch)).at(places[inside] % n)
    return found


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finisher of SplitMix64 (Steele, Lea and Flood, 2014): every bit depends on every other."""
    x = (x ^ (x >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> U64(27))) * U64(0x94D049BB133111EB)
    return x ^ (x >> U64(31))
