"""Sentence pairs for translation: read them from two parallel files, and batch them by length.

A batch is as wide as its longest sentence, and padding costs as much compute as any token, so sentences of
similar length are batched together: each epoch is a new permutation, the pairs of every `n_pooled`
consecutive batches are sorted by length and cut into batches, and these are shuffled. Every batch is a
function of its number, so there is no state to save.
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

from zeropoint.data.batches import ALL, Rows, as_index, check_batch_size
from zeropoint.data.permutation import shuffled_indices
from zeropoint.data.text_codec import TextCodec
from zeropoint.errors import BadInput
from zeropoint.files.regular_file import open_regular

__all__ = ["Pair", "PairBatches", "encode_source", "encode_target", "pad_rows", "read_pairs"]

Pair = tuple[Sequence[int], Sequence[int]]
Ids = NDArray[np.int64]
_MAX_BYTES = 256 << 20  # of one uncompressed file, since all pairs are held in memory


def encode_source(codec: TextCodec, text: str) -> list[int]:
    """The encoder's input: the text and the end token. Raises BadInput for a tokenizer without one."""
    if codec.end_id is None:
        raise BadInput("the tokenizer has no end-of-text token, which translation needs; choose another one")
    return [*codec.encode(text), codec.end_id]


def encode_target(codec: TextCodec, text: str) -> list[int]:
    """The decoder's sequence: begin token, text and end token. Raises BadInput as `encode_source`."""
    source = encode_source(codec, text)
    return [source[-1] if codec.begin_id is None else codec.begin_id, *source]


def read_pairs(source: Path, target: Path) -> list[tuple[str, str]]:
    """Pair the lines of two files; names ending in .gz are decompressed.

    Raises BadInput naming a file that cannot be read or is not UTF-8, or if the numbers of lines differ.
    """
    sources, targets = _lines(source), _lines(target)
    if len(sources) != len(targets):
        raise BadInput(
            f"{source} has {len(sources)} lines and {target} has {len(targets)}; give files whose lines are "
            "translations of each other"
        )
    if not sources:
        raise BadInput(f"{source} is empty; give at least one pair of sentences")
    return list(zip(sources, targets, strict=True))


def _lines(path: Path) -> list[str]:
    """The lines of a file, stripped. Only a line feed ends a line."""
    try:
        with open_regular(path) as raw, gzip.open(raw) if path.suffix == ".gz" else raw as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise BadInput(f"{path} has more than {_MAX_BYTES >> 20} MiB of text; split it")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 at byte {error.start}; convert it first") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path} cannot be read ({reason}); check the file") from None
    return [line.strip() for line in text.removesuffix("\n").split("\n")] if text else []


def pad_rows(sequences: Iterable[Sequence[int]], padding: int) -> Ids:
    """Pad sequences on the right to the longest one: [B, T]."""
    rows = list(sequences)
    ids_BT = np.full((len(rows), max(map(len, rows))), padding, np.int64)
    for row, ids in zip(ids_BT, rows, strict=True):
        row[: len(ids)] = ids
    return ids_BT


@dataclass(frozen=True, eq=False)
class PairBatches:
    """Batches of sentence pairs: sources [B, S] and targets [B, T] (see `Batches`).

    pairs: ids of each source and target, with begin and end tokens. padding: the padding id, negative if the
    vocabulary has none. n_pooled: batches to sort by length together; more means less padding. Capped at one
    epoch, or a batch would repeat sentences. Raises BadInput for a batch size below 1 or no pairs.
    """

    pairs: Sequence[Pair]
    n_rows: int
    seed: int
    padding: int
    n_pooled: int = 100

    def __post_init__(self) -> None:
        check_batch_size(self.n_rows)
        if self.n_pooled < 1 or not self.pairs:
            raise BadInput(
                f"there are {len(self.pairs)} sentence pairs and n_pooled is {self.n_pooled}; expected 1 or "
                "more of each"
            )
        n_epoch = -(-len(self.pairs) // self.n_rows)
        object.__setattr__(self, "n_pooled", min(self.n_pooled, n_epoch))
        # Cache one pool, since batches are mostly requested in order.
        object.__setattr__(self, "_pool", lru_cache(maxsize=1)(self._make_pool))

    def batch(self, step: int, rows: Rows = ALL) -> tuple[Ids, Ids]:
        """source_BS, target_BT of batch `step`, padded to the width of the complete batch for any `rows`."""
        pool = self._pool(step // self.n_pooled)  # type: ignore[attr-defined]
        indices = pool[step % self.n_pooled]
        source_BS = pad_rows((self.pairs[i][0] for i in indices), self.padding)
        target_BT = pad_rows((self.pairs[i][1] for i in indices), self.padding)
        return source_BS[as_index(rows)], target_BT[as_index(rows)]

    def _make_pool(self, number: int) -> Ids:
        """The indices of the pairs in n_pooled batches: [n_pooled, B]."""
        size = self.n_pooled * self.n_rows
        chosen = shuffled_indices(len(self.pairs), self.seed, number * size, size)
        lengths = np.array([[len(self.pairs[i][0]), len(self.pairs[i][1])] for i in chosen])
        by_length = chosen[np.lexsort((lengths[:, 0], lengths[:, 1]))]
        shuffled: Ids = np.random.default_rng([self.seed, number, 1]).permutation(
            by_length.reshape(self.n_pooled, self.n_rows)
        )
        return shuffled
