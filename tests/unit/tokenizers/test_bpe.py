"""Byte pairs: the merges by hand, those of the library, and round trips."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from zeropoint.errors import BadInput
from zeropoint.tokenizers.train.bpe import (
    BPETokenizer,
    bytes_to_unicode,
    learn_merges,
    pre_tokenize,
    train_bpe,
)

TEXT = Path(__file__).with_name("conftest.py").read_text("utf-8")


@pytest.fixture(scope="module")
def trained() -> BPETokenizer:
    return train_bpe(TEXT, 500)


def test_merges_by_hand() -> None:
    # pairs: ab 3, bc 2, cd 1; then ab c 2; then x y and others once each, lowest ids first
    assert learn_merges({"abc": 2, "ab": 1, "cd": 1}, 258) == [("a", "b"), ("ab", "c")]
    assert learn_merges({"dc": 1, "ab": 1}, 300) == [("a", "b"), ("d", "c")]  # a tie: the lowest ids
    assert learn_merges({"aaaa": 1}, 300) == [("a", "a"), ("aa", "aa")]
    assert learn_merges({}, 300) == []


def test_counting_anew_gives_the_same_merges(trained: BPETokenizer) -> None:
    """The definition itself: count all pairs of all words before every merge."""
    ids = {token: index for index, token in enumerate(trained.tokens)}
    corpus = Counter(pre_tokenize(TEXT))
    letters = bytes_to_unicode()
    spelled = [([letters[b] for b in word.encode()], n) for word, n in corpus.items()]
    for merge in trained.merges[:25]:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, n in spelled:
            for pair in itertools.pairwise(word):
                pairs[pair] += n
        assert merge == min(pairs, key=lambda p: (-pairs[p], ids[p[0]], ids[p[1]]))
        for word, _ in spelled:
            for at in range(len(word) - 1):
                if tuple(word[at : at + 2]) == merge:
                    word[at : at + 2] = ["".join(merge)]


def test_the_library_learns_the_same(trained: BPETokenizer) -> None:
    assert train_bpe(TEXT, 500, fast=True) == trained
    assert len(trained.tokens) == 500
    assert trained.tokens[-1] == "<|endoftext|>"


def test_readable_and_fast_encoding_agree(trained: BPETokenizer, varied_lines: Any) -> None:
    fast = trained.tokenizer()
    for line in [*varied_lines(["<|endoftext|>"])[::8], *TEXT.splitlines()[:60]]:
        if all(is_old(character) for character in line):
            ids = trained.encode(line)
            assert ids == fast.encode(line), line
            assert fast.decode(ids) == line
    assert trained.decode(trained.encode("naïve 😀")) == "naïve 😀"


def is_old(character: str) -> bool:
    """Of Unicode 3.2, which has grown since: this Python and the library may know different letters."""
    return unicodedata.ucd_3_2_0.category(character) != "Cn"


def test_words_are_cut_as_the_pattern_says() -> None:
    text = "I'LL don't  pay\t12345½ \n\n x_y!!"
    words = ["I", "'", "LL", " don", "'t", " ", " pay", "\t", "12345½", " \n\n", " x", "_", "y", "!!"]
    assert list(pre_tokenize(text)) == words


def test_saved_in_the_form_of_gpt2(trained: BPETokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path / "made")
    ids = json.loads((tmp_path / "made" / "encoder.json").read_text())
    assert [*ids] == list(trained.tokens)
    lines = (tmp_path / "made" / "vocab.bpe").read_text().split("\n")
    assert lines[0].startswith("#version")
    assert lines[1:-1] == [" ".join(pair) for pair in trained.merges]


def test_bad_requests() -> None:
    with pytest.raises(BadInput, match="at least 257"):
        train_bpe("text", 256)
    with pytest.raises(BadInput, match="special token 'ab'"):
        train_bpe("ab ab", 300, specials=["ab"])
    with pytest.raises(BadInput, match="lone surrogate"):
        train_bpe("\ud800", 300)


def test_importing_does_not_load_the_library() -> None:
    heavy = "{'tokenizers', 'torch'}"
    code = f"import sys, zeropoint.tokenizers.train.bpe; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
