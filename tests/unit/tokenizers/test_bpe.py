"""BPE training: merges worked out by hand, agreement with the `tokenizers` library, and round trips."""

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
from zeropoint.tokenizers.core.byte_level import bytes_to_unicode
from zeropoint.tokenizers.train.bpe import (
    END_OF_TEXT,
    BPETokenizer,
    learn_merges,
    pre_tokenize,
    split_special_tokens,
    train_bpe,
)

TEXT = Path(__file__).with_name("conftest.py").read_text("utf-8")


@pytest.fixture(scope="module")
def trained() -> BPETokenizer:
    return train_bpe(TEXT, 500)


def test_merges_match_those_worked_out_by_hand() -> None:
    # pairs: ab 3, bc 2, cd 1; then ab c 2; then x y and others once each, lowest ids first
    assert learn_merges({"abc": 2, "ab": 1, "cd": 1}, 258) == [("a", "b"), ("ab", "c")]
    assert learn_merges({"dc": 1, "ab": 1}, 300) == [("a", "b"), ("d", "c")]  # a tie: lowest ids first
    assert learn_merges({"aaaa": 1}, 300) == [("a", "a"), ("aa", "aa")]
    assert learn_merges({}, 300) == []


def test_incremental_counts_equal_recounting(trained: BPETokenizer) -> None:
    """The definition of BPE: recount all pairs of all words before every merge."""
    ids = {token: index for index, token in enumerate(trained.tokens)}
    corpus = Counter(pre_tokenize(TEXT))
    alphabet = bytes_to_unicode()
    words = [([alphabet[b] for b in word.encode()], n) for word, n in corpus.items()]
    for merge in trained.merges[:25]:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, n in words:
            for pair in itertools.pairwise(word):
                pairs[pair] += n
        assert merge == min(pairs, key=lambda p: (-pairs[p], ids[p[0]], ids[p[1]]))
        for word, _ in words:
            for at in range(len(word) - 1):
                if tuple(word[at : at + 2]) == merge:
                    word[at : at + 2] = ["".join(merge)]


def test_the_library_learns_the_same_merges(trained: BPETokenizer) -> None:
    assert train_bpe(TEXT, 500, fast=True) == trained
    assert len(trained.tokens) == 500
    assert trained.tokens[-1] == "<|endoftext|>"


def test_readable_and_fast_encoding_agree(trained: BPETokenizer, varied_lines: Any) -> None:
    fast = trained.tokenizer()
    for line in [*varied_lines(["<|endoftext|>"])[::8], *TEXT.splitlines()[:60]]:
        if all(is_in_unicode_3_2(character) for character in line):
            ids = trained.encode(line)
            assert ids == fast.encode(line), line
            assert fast.decode(ids) == line
    assert trained.decode(trained.encode("naïve 😀")) == "naïve 😀"


def is_in_unicode_3_2(character: str) -> bool:
    """Newer letters are excluded: Python and the library may implement different Unicode versions."""
    return unicodedata.ucd_3_2_0.category(character) != "Cn"


def test_pre_tokenization_follows_gpt2s_pattern() -> None:
    text = "I'LL don't  pay\t12345½ \n\n x_y!!"
    words = ["I", "'", "LL", " don", "'t", " ", " pay", "\t", "12345½", " \n\n", " x", "_", "y", "!!"]
    assert list(pre_tokenize(text)) == words


def test_the_vocabulary_is_saved_in_gpt2s_format(trained: BPETokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path / "saved")
    ids = json.loads((tmp_path / "saved" / "encoder.json").read_text())
    assert [*ids] == list(trained.tokens)
    lines = (tmp_path / "saved" / "vocab.bpe").read_text().split("\n")
    assert lines[0].startswith("#version")
    assert lines[1:-1] == [" ".join(pair) for pair in trained.merges]


@pytest.mark.parametrize("fast", [False, True])
def test_special_tokens_are_neither_counted_nor_merged(fast: bool) -> None:
    documents = ["ab ab", "ab cd", "cd"] * 3
    text = END_OF_TEXT.join(documents)
    trained = train_bpe(text, 300, fast=fast)
    # Each document alone gives the same counts, so the separator adds no pair ("<|", "|>") ...
    counts = Counter(word for document in documents for word in pre_tokenize(document))
    assert list(trained.merges) == learn_merges(counts, 299)
    assert not any(set("<|>").intersection(left + right) for left, right in trained.merges)
    # ... and no merge spans two documents ("ab" ends one, "cd" begins the next).
    assert all(len(token) <= 3 for token in trained.tokens[:-1])
    assert trained.tokens[-1] == END_OF_TEXT


def test_text_is_split_at_the_longest_special_token() -> None:
    assert split_special_tokens("a<s><s>>b<s>", ["<s>", "<s>>"]) == ["a", "b"]
    assert split_special_tokens("a.b", ["."]) == ["a", "b"]  # taken literally, not as a pattern
    assert split_special_tokens("a<s>b", []) == ["a<s>b"]


def test_invalid_requests_are_rejected() -> None:
    with pytest.raises(BadInput, match="at least 257"):
        train_bpe("text", 256)
    with pytest.raises(BadInput, match="special token 'a' is also an ordinary token"):
        train_bpe("ab ab", 300, special_tokens=["a"])
    with pytest.raises(BadInput, match="special token is empty"):
        train_bpe("ab ab", 300, special_tokens=[""])
    with pytest.raises(BadInput, match="lone surrogate"):
        train_bpe("\ud800", 300)


def test_importing_does_not_load_the_tokenizers_library() -> None:
    heavy = "{'tokenizers', 'torch'}"
    code = f"import sys, zeropoint.tokenizers.train.bpe; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
