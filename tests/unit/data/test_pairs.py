"""Sentence pairs: read from two files; batches have every pair and depend only on the seed."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from zeropoint.data.pairs import Pair, PairBatches, encode_source, encode_target, pad_rows, read_pairs
from zeropoint.data.text_codec import train_codec
from zeropoint.errors import BadInput


def test_lines_of_two_files_are_paired(tmp_path: Path) -> None:
    (tmp_path / "a.de").write_bytes("Ein Hund .\r\nZwei\u2028Hunde.\n".encode())
    with gzip.open(tmp_path / "a.en.gz", "wb") as file:
        file.write(b"A dog .\nTwo dogs.\n")
    pairs = read_pairs(tmp_path / "a.de", tmp_path / "a.en.gz")
    assert pairs == [("Ein Hund .", "A dog ."), ("Zwei\u2028Hunde.", "Two dogs.")]


def test_invalid_files_are_named(tmp_path: Path) -> None:
    first, second, empty = tmp_path / "one", tmp_path / "two", tmp_path / "empty"
    first.write_text("a\n")
    second.write_text("a\nb\n")
    empty.write_text("")
    with pytest.raises(BadInput, match=r"one has 1 lines and .*two has 2"):
        read_pairs(first, second)
    with pytest.raises(BadInput, match="empty is empty"):
        read_pairs(empty, empty)
    with pytest.raises(BadInput, match=r"absent cannot be read \(No such file"):
        read_pairs(tmp_path / "absent", first)
    first.write_bytes(b"caf\xe9")
    with pytest.raises(BadInput, match="one is not UTF-8 at byte 3"):
        read_pairs(first, second)
    (tmp_path / "damaged.gz").write_bytes(gzip.compress(b"a\n" * 99)[:-12])
    with pytest.raises(BadInput, match=r"damaged\.gz cannot be read"):
        read_pairs(tmp_path / "damaged.gz", second)


def test_a_pair_has_begin_and_end_tokens() -> None:
    codec = train_codec("words", ["a b a b"], n_vocab=0, has_end=True)
    begin, end, (a, b) = codec.begin_id, codec.end_id, codec.encode("a b")
    assert encode_source(codec, "a b") == [a, b, end]
    assert encode_target(codec, "b") == [begin, b, end]
    pairs = train_codec("bpe", ["a b a b"], n_vocab=260, has_end=True)
    assert encode_target(pairs, "a") == [pairs.end_id, *pairs.encode("a"), pairs.end_id]
    with pytest.raises(BadInput, match="no end-of-text token"):
        encode_source(train_codec("characters", ["ab"], n_vocab=0, has_end=False), "ab")


def pairs(n: int) -> list[Pair]:
    """Pairs of various lengths; both sides start with the number of the pair."""
    drawn = np.random.default_rng(0).integers(1, 20, (n, 2))
    return [([i + 1, *[0] * s], [i + 1, *[0] * t]) for i, (s, t) in enumerate(drawn)]


def numbers(batches: PairBatches, steps: range) -> list[int]:
    return [int(i) for step in steps for i in batches.batch(step)[0][:, 0]]


def test_every_pair_occurs_once_per_epoch() -> None:
    """35 pairs in batches of 7, pooled by 3: pools and epochs end at different steps."""
    batches = PairBatches(pairs(35), 7, seed=3, padding=999, n_pooled=3)
    assert Counter(numbers(batches, range(15))) == dict.fromkeys(range(1, 36), 3)


def test_a_pool_is_at_most_one_epoch() -> None:
    batches = PairBatches(pairs(5), 4, seed=3, padding=999, n_pooled=10)
    assert Counter(numbers(batches, range(10))) == dict.fromkeys(range(1, 6), 8)
    assert len({*numbers(batches, range(2))}) == 5


def test_pairs_stay_together_and_are_padded() -> None:
    source_BS, target_BT = PairBatches(pairs(40), 8, seed=0, padding=999).batch(2)
    assert (source_BS[:, 0] == target_BT[:, 0]).all()
    for row, number in zip(source_BS, source_BS[:, 0], strict=True):
        n_tokens = len(pairs(40)[number - 1][0])
        assert (row[n_tokens:] == 999).all()
        assert (row[:n_tokens] != 999).all()


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    mine, other = (PairBatches(pairs(50), 6, seed=1, padding=0, n_pooled=4) for _ in range(2))
    for step in (9, 0, 7, 9, 4):  # back and forth between pools
        for mine_BT, other_BT in zip(mine.batch(step), other.batch(step), strict=True):
            assert (mine_BT == other_BT).all()
    in_order = numbers(other, range(10))
    assert numbers(mine, range(10)) == in_order
    assert numbers(PairBatches(pairs(50), 6, seed=2, padding=0, n_pooled=4), range(10)) != in_order


def test_workers_share_one_batch() -> None:
    batches = PairBatches(pairs(50), 6, seed=1, padding=0)
    whole = batches.batch(5)
    for rows in (slice(0, 3), slice(3, 6), [5, 0]):
        for part, all_rows in zip(batches.batch(5, rows), whole, strict=True):
            assert (part == all_rows[rows]).all()


def test_pooling_reduces_padding() -> None:
    def share(n_pooled: int) -> float:
        """The share of padding in 40 batches."""
        batches = PairBatches(pairs(800), 16, seed=0, padding=999, n_pooled=n_pooled)
        return float(np.mean([(batches.batch(step)[1] == 999).mean() for step in range(40)]))

    assert share(50) < 0.05 < 0.3 < share(1)


def test_missing_pairs_are_rejected() -> None:
    with pytest.raises(BadInput, match="there are 0 sentence pairs"):
        PairBatches([], 4, 0, 0)
    assert pad_rows([[1], [2, 3]], 9).tolist() == [[1, 9], [2, 3]]
