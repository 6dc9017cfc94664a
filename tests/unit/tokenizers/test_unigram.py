"""The unigram model: Viterbi and forward-backward against brute force, decreasing loss, round trips."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.tokenizers.train.lattice import expected_counts, viterbi
from zeropoint.tokenizers.train.unigram import (
    UnigramTokenizer,
    em_step,
    prune,
    seed_pieces,
    split_words,
    train_unigram,
)

TEXT = (
    "the quick brown fox jumps over the lazy dog and the other foxes sleep in the old barn while thunder "
    "rolls over the hills; brothers and mothers gather there, naïve café 你好 世界 Привет мир\n"
) * 2


@pytest.fixture(scope="module")
def trained() -> UnigramTokenizer:
    return train_unigram(TEXT, 340)


def segmentations(word: str) -> list[list[str]]:
    """All segmentations of a word."""
    all_segmentations = []
    for marks in itertools.product([False, True], repeat=len(word) - 1):
        bounds = [0, *(i for i, is_bound in enumerate(marks, 1) if is_bound), len(word)]
        all_segmentations.append([word[a:b] for a, b in itertools.pairwise(bounds)])
    return all_segmentations


@pytest.mark.parametrize("seed", range(6))
def test_viterbi_and_expected_counts_equal_brute_force(seed: int) -> None:
    draw = random.Random(seed)
    word = "".join(draw.choice("abc") for _ in range(8))
    substrings = {word[a:b] for a in range(8) for b in range(a + 1, 9)}
    chosen = sorted({*word, *draw.sample(sorted(substrings), 12)})
    pieces = {piece: -draw.uniform(0.5, 6) for piece in chosen}
    possible = [split for split in segmentations(word) if all(piece in pieces for piece in split)]
    scored = [(sum(pieces[piece] for piece in split), split) for split in possible]
    best = max(scored)
    assert viterbi(word, pieces, -20.0) == best[1]
    log_z = math.log(sum(math.exp(score) for score, _ in scored))
    expected: Counter[str] = Counter()
    for score, split in scored:
        for piece in split:
            expected[piece] += math.exp(score - log_z)  # type: ignore[assignment]
    got_z, got = expected_counts(word, pieces)
    assert got_z == pytest.approx(log_z)
    assert {p: n for p, n in got.items() if n > 1e-12} == pytest.approx(dict(expected))


def test_em_never_increases_the_loss() -> None:
    counts = Counter(split_words(TEXT))
    pieces = seed_pieces(counts, 300)
    losses = []
    for _ in range(8):
        assert sum(map(math.exp, pieces.values())) == pytest.approx(1)
        pieces, loss = em_step(pieces, counts)
        losses.append(loss)
    assert losses[-1] < losses[0] - 0.5
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(losses))


def test_pruning_keeps_all_characters_and_the_most_valuable_pieces() -> None:
    counts = Counter(split_words(TEXT))
    pieces, _ = em_step(seed_pieces(counts, 300), counts)
    characters = {character for word in counts for character in word}
    pruned = prune(pieces, counts, len(characters) + 5)
    assert len(pruned) == len(characters) + 5
    assert characters <= set(pruned)
    assert characters == set(prune(pieces, counts, 3))
    assert prune(pieces, counts, len(pieces)) == pieces


@pytest.mark.parametrize("fast", [False, True])
def test_encoding_round_trips(fast: bool, trained: UnigramTokenizer, varied_lines: Any) -> None:
    tokenizer = train_unigram(TEXT, 340, fast=True) if fast else trained
    assert tokenizer.n_vocab <= 340
    assert set(TEXT) - {" "} <= set(tokenizer.pieces)
    assert "▁the" in tokenizer.pieces
    assert len(tokenizer.encode(TEXT)) < len(TEXT) * (0.7 if fast else 0.5)
    for text in ["", " ", "  two  ", " the", "\n\t", *varied_lines(["<unk>"])[::20]]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_library_encodes_identically(trained: UnigramTokenizer, varied_lines: Any) -> None:
    library = trained.hf_tokenizer()
    for text in ["", " ", "  two  ", " the", TEXT, "<unk>", *varied_lines(["<unk>"])[::20]]:
        ids = trained.encode(text)
        assert ids == library.encode(text, add_special_tokens=False).ids, text
        assert library.decode(ids, skip_special_tokens=False) == text


def test_saving_and_loading_round_trips(trained: UnigramTokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path / "pieces.json")
    assert UnigramTokenizer.load(tmp_path / "pieces.json") == trained


@pytest.mark.parametrize("pieces", [
    None, [], 3, [["a"]], [["a", 1.0]], [["a", float("nan")]], [["a", float("-inf")]], [["", -1]],
    [["a", -1], ["a", -2]], [[3, -1]], [["a" * 13, -1]], [["a", "x"]],
])  # fmt: skip
def test_errors_name_the_damaged_file(pieces: Any, tmp_path: Path) -> None:
    path = tmp_path / "pieces.json"
    path.write_text(json.dumps({"kind": "zeropoint.unigram", "pieces": pieces}))
    with pytest.raises(BadModelFile, match=r"pieces\.json"):
        UnigramTokenizer.load(path)


def test_invalid_requests_are_rejected(trained: UnigramTokenizer) -> None:
    with pytest.raises(BadInput, match="at least 260"):
        train_unigram("ab", 259)
    with pytest.raises(BadInput, match="give a non-empty text"):
        train_unigram("", 1000)
    with pytest.raises(BadInput, match="token id 340"):
        trained.decode([340])
