"""Parallel text: a sentence and its translation, on the same line of two files; and batches of such pairs.

A batch is as wide as its longest sentence, so sentences of about one length should meet: padding is computed
like any token and thrown away. The order needs no state: epochs follow each other, each a permutation of its
own; the pairs of every `n_pooled` batches in a row are sorted by length, cut, and the batches shuffled.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.data.batches import ALL, Rows
from zeropoint.data.permutation import shuffled_indices
from zeropoint.data.text_codec import TextCodec
from zeropoint.errors import BadInput

__all__ = ["Pair", "PairBatches", "encode_source", "encode_target", "pad_rows", "read_pairs"]

Pair = tuple[Sequence[int], Sequence[int]]
Ids = NDArray[np.int64]
_MOST_BYTES = 1 << 30  # of one file, unpacked: parallel text of a size that memory holds


def encode_source(codec: TextCodec, text: str) -> list[int]:
    """What the encoder reads: the text's ids and the end. Raises BadInput for a tokenizer without one."""
    if codec.end_id is None:
        raise BadInput("the tokenizer has no token that ends a text, and translation needs one; take another")
    return [*codec.encode(text), codec.end_id]


def encode_target(codec: TextCodec, text: str) -> list[int]:
    """What the decoder learns: the beginning, the text's ids and the end. Raises BadInput as above."""
    source = encode_source(codec, text)
    return [source[-1] if codec.begin_id is None else codec.begin_id, *source]


def read_pairs(source: Path, target: Path) -> list[tuple[str, str]]:
    """The lines of two files, side by side; a name that ends in .gz is unpacked.

    Raises BadInput naming a file that cannot be read, is not UTF-8 or has another number of lines.
    """
    sources, targets = _lines(source), _lines(target)
    if len(sources) != len(targets):
        raise BadInput(
            f"{source} has {len(sources)} lines and {target} has {len(targets)}; line by line they must be "
            "translations of each other"
        )
    if not sources:
        raise BadInput(f"{source} is empty; give at least one pair of sentences")
    return list(zip(sources, targets, strict=True))


def _lines(path: Path) -> list[str]:
    """The lines of a file, without the white space around them. Only a line feed ends a line."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise BadInput(f"{path} has more than {_MOST_BYTES >> 20} MiB of text; give a part of it")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 at byte {error.start}; convert it first") from None
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return [line.strip() for line in text.removesuffix("\n").split("\n")] if text else []


def pad_rows(sequences: Iterable[Sequence[int]], padding: int) -> Ids:
    """Rows of one length, filled up on the right: [B, T]."""
    rows = list(sequences)
    ids_BT = np.full((len(rows), max(map(len, rows))), padding, np.int64)
    for row, ids in zip(ids_BT, rows, strict=True):
        row[: len(ids)] = ids
    return ids_BT


@dataclass(frozen=True, eq=False)
class PairBatches:
    """Pairs of ids as batches: sources [B, S] and answers [B, T]; keeps the contract `Batches`.

    pairs: ids of a source and its answer, with the tokens that begin and end. padding: the number that
    fills up, below zero where no token is for that.
    n_pooled: batches whose pairs are sorted by length together; more of them, less padding. At most an
    epoch's: else a batch would hold the same sentence often.
    """

    pairs: Sequence[Pair]
    n_rows: int
    seed: int
    padding: int
    n_pooled: int = 100

    def __post_init__(self) -> None:
        if self.n_rows < 1 or self.n_pooled < 1 or not self.pairs:
            raise BadInput(
                f"there are {len(self.pairs)} pairs for batches of {self.n_rows}, {self.n_pooled} of which "
                "are sorted together; expected 1 or more of each"
            )
        n_epoch = -(-len(self.pairs) // self.n_rows)
        object.__setattr__(self, "n_pooled", min(self.n_pooled, n_epoch))
        # The last pool is kept: batches are mostly asked for in their order.
        object.__setattr__(self, "_pool", lru_cache(maxsize=1)(self._make_pool))

    def batch(self, step: int, rows: Rows = ALL) -> tuple[Ids, Ids]:
        """source_BS, answer_BT of step, from 0; also a worker's rows are padded as the whole batch is."""
        pool = self._pool(step // self.n_pooled)  # type: ignore[attr-defined]
        chosen = pool[step % self.n_pooled]
        wanted = rows if isinstance(rows, slice) else list(rows)
        source_BS = pad_rows((self.pairs[i][0] for i in chosen), self.padding)
        answer_BT = pad_rows((self.pairs[i][1] for i in chosen), self.padding)
        return source_BS[wanted], answer_BT[wanted]

    def _make_pool(self, number: int) -> Ids:
        """The pairs' numbers of n_pooled batches: [n_pooled, B]."""
        size = self.n_pooled * self.n_rows
        chosen = shuffled_indices(len(self.pairs), self.seed, number * size, size)
        lengths = np.array([[len(self.pairs[i][0]), len(self.pairs[i][1])] for i in chosen])
        by_length = chosen[np.lexsort((lengths[:, 0], lengths[:, 1]))]
        shuffled: Ids = np.random.default_rng([self.seed, number, 1]).permutation(
            by_length.reshape(self.n_pooled, self.n_rows)
        )
        return shuffled
