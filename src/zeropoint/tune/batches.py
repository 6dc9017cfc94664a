"""Batches of encoded examples, as the objectives read them.

Conversations are packed: several share a row, each with its own document number, so that attention and
positions treat every one as if it had the row to itself (Krell et al., 2021). Padding is on the right, where
a causal model does not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.data.batches import IGNORED
from zeropoint.tune.tokens import Encoded

__all__ = ["answer_columns", "mismatched", "packed_columns", "pair_columns"]

Array = NDArray[np.int64]


def packed_columns(texts: Sequence[Encoded], n_ctx: int) -> tuple[Array, Array, Array]:
    """(ids, targets, document numbers), [rows, n_ctx or less] each; the longest texts are placed first.

    Each goes to the first row with room for it. Every text must have at most n_ctx + 1 tokens.
    """
    rows: list[list[Encoded]] = []
    room: list[int] = []
    for text in sorted(texts, key=lambda text: -len(text.ids_T)):
        length = len(text.ids_T) - 1
        index = next((i for i, free in enumerate(room) if free >= length), len(rows))
        if index == len(rows):
            rows.append([])
            room.append(n_ctx)
        rows[index].append(text)
        room[index] -= length
    width = n_ctx - min(room)
    ids_RT, target_RT = _blank(len(rows), width)
    document_RT = np.zeros_like(ids_RT)
    for r, row in enumerate(rows):
        at = 0
        for number, text in enumerate(row):
            end = at + len(text.ids_T) - 1
            ids_RT[r, at:end], target_RT[r, at:end] = _shifted(text)
            document_RT[r, at:end] = number
            at = end
        document_RT[r, at:] = len(row)  # padding attends to itself only
    return ids_RT, target_RT, document_RT


def answer_columns(texts: Sequence[Encoded]) -> tuple[Array, Array]:
    """(ids, targets), [texts, T] each: one text per row, for adapters that cannot share rows."""
    ids_RT, target_RT = _blank(len(texts), max(len(text.ids_T) for text in texts) - 1)
    for r, text in enumerate(texts):
        ids_RT[r, : len(text.ids_T) - 1], target_RT[r, : len(text.ids_T) - 1] = _shifted(text)
    return ids_RT, target_RT


def pair_columns(pairs: Sequence[tuple[Encoded, ...]]) -> tuple[Array, Array]:
    """(ids, targets), [pairs, 2, T] each."""
    ids_NT, target_NT = answer_columns([text for pair in pairs for text in pair])
    shape = (len(pairs), 2, -1)
    return ids_NT.reshape(shape), target_NT.reshape(shape)


def mismatched(texts: Sequence[Encoded]) -> list[tuple[Encoded, ...]]:
    """Each text, and its prompt with the answer of the next text (KTO's estimate of the distance)."""
    pairs: list[tuple[Encoded, ...]] = []
    for i, text in enumerate(texts):
        other = texts[(i + 1) % len(texts)]
        ids = np.concatenate([text.ids_T[~text.is_answer_T], other.ids_T[other.is_answer_T]])
        is_answer = np.arange(len(ids)) >= (~text.is_answer_T).sum()
        pairs.append((text, Encoded(ids, is_answer)))
    return pairs


def _blank(n_rows: int, width: int) -> tuple[Any, Any]:
    return np.zeros((n_rows, width), np.int64), np.full((n_rows, width), IGNORED, np.int64)


def _shifted(text: Encoded) -> tuple[Array, Array]:
    """Inputs and next-token targets; what is not an answer is no target."""
    return text.ids_T[:-1], np.where(text.is_answer_T[1:], text.ids_T[1:], IGNORED)
