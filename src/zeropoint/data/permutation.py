"""A shuffled order computed on demand: element k of a permutation of n, in constant memory.

A Feistel network permutes the numbers below 4^h >= n; cycle walking repeats it until the result is below n
(Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). Every number occurs once. Resumed runs and
workers compute the elements they need, so there is no state to save.
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
    """A permutation of the numbers 0 to n - 1. keys: one per round [_ROUNDS]."""

    n: int
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, n: int, *seeds: int) -> Permutation:
        """The permutation for these seeds, such as a seed and an epoch."""
        return cls(n, np.random.SeedSequence(seeds).generate_state(_ROUNDS, np.uint64).astype(U64))

    def at(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The elements at `indices` (0 to n - 1, any shape)."""
        n_half_bits = max(1, ((self.n - 1).bit_length() + 1) // 2)
        values = indices.astype(U64)
        is_outside = np.ones(values.shape, bool)
        while is_outside.any():  # at most 3 of 4 numbers are outside, so few rounds are needed
            values[is_outside] = self._feistel(values[is_outside], n_half_bits)
            is_outside = values >= U64(self.n)
        return values.astype(np.int64)

    def _feistel(self, numbers: NDArray[np.uint64], n_half_bits: int) -> NDArray[np.uint64]:
        mask = U64((1 << n_half_bits) - 1)
        left, right = numbers >> U64(n_half_bits), numbers & mask
        for key in self.keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        return (left << U64(n_half_bits)) | right


def shuffled_indices(n: int, seed: int, first: int, count: int) -> NDArray[np.int64]:
    """`count` elements, from number `first` on, of an endless series of shuffled epochs of 0 to n - 1."""
    positions = np.arange(first, first + count, dtype=np.int64)
    epochs = positions // n
    indices = np.empty(count, np.int64)
    for epoch in np.unique(epochs):
        is_inside = epochs == epoch
        indices[is_inside] = Permutation.of(n, seed, int(epoch)).at(positions[is_inside] % n)
    return indices


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): every bit depends on every other."""
    x = (x ^ (x >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> U64(27))) * U64(0x94D049BB133111EB)
    return x ^ (x >> U64(31))
