"""Conventions that courses and small projects test their BPE tokenizers for, on our public API.

minbpe (Karpathy): identity, Wikipedia's example of byte-pair encoding, special tokens, GPT-4's split pattern.
CS336 (Stanford), assignment 1: training with special tokens, round trips, encoding an iterable.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from zeropoint.tokenizers.core import tokenizer as core
from zeropoint.tokenizers.core.byte_level import encode_byte_level
from zeropoint.tokenizers.core.tokenizer import Tokenizer
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.vocab_files import load_gpt2_files
from zeropoint.tokenizers.train.bpe import END_OF_TEXT, BPETokenizer, train_bpe

STORY = (
    "Once upon a time, in a small village, there lived 3 cats. They didn't like rain! "
    "\u201cWhy not?\u201d asked the caf\u00e9 owner \u2014 \u60a8\u597d, \U0001f63a\u200d\u2b1b.\r\n\n"
    "\tThe end  .\n"
)
CORPUS = STORY * 20 + END_OF_TEXT + "Another document, upon a time. " * 9 + END_OF_TEXT + STORY
TEXTS = [
    "",
    "?",
    "s",
    "\U0001f643",
    "H\u00e9llo w\u00f6rld! \uc548\ub155\ud558\uc138\uc694",
    " ",
    "\n\n \n",
    "\x00\x1f",
    STORY,
    CORPUS,
]
# The pattern of tiktoken's cl100k_base, as OpenAI publishes it.
GPT4_PATTERN = "|".join(
    [
        r"'(?i:[sdmt]|ll|ve|re)",
        r"[^\r\n\p{L}\p{N}]?+\p{L}+",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s+",
    ]
)


@pytest.fixture(scope="module")
def trained() -> BPETokenizer:
    return train_bpe(CORPUS, 256 + 120 + 2, special_tokens=(END_OF_TEXT, END_OF_TEXT * 2))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """GPT-2's published vocabulary."""
    source, folder = (
        Path(os.environ.get("ZEROPOINT_DATA", "/nonexistent")) / "gpt2",
        tmp_path_factory.mktemp("g"),
    )
    for name in ("encoder.json", "vocab.bpe"):
        if not (source / f"{name}.gz").is_file():
            pytest.skip(f"ZEROPOINT_DATA has no gpt2/{name}.gz")
        (folder / name).write_bytes(gzip.decompress((source / f"{name}.gz").read_bytes()))
    return load_gpt2_files(folder / "encoder.json", folder / "vocab.bpe")


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:8]))
def test_decoding_an_encoded_text_gives_the_text(text: str, trained: BPETokenizer) -> None:
    fast = trained.tokenizer()
    assert fast.decode(fast.encode(text)) == text
    assert fast.decode(fast.encode(text, parse_special=True)) == text
    assert trained.decode(trained.encode(text)) == text
    assert fast.encode(text) == trained.encode(text)


def test_wikipedias_example() -> None:
    """aaabdaaabac: aa becomes Z, ab becomes Y and ZY becomes X, which leaves XdXac."""
    trained = train_bpe("aaabdaaabac", 256 + 3, special_tokens=())
    assert trained.merges == (("a", "a"), ("a", "b"), ("aa", "ab"))
    spelled = [trained.tokens[index] for index in trained.encode("aaabdaaabac")]
    assert spelled == ["aaab", "d", "aaab", "a", "c"]
    assert trained.decode(trained.encode("aaabdaaabac")) == "aaabdaaabac"


def test_a_saved_vocabulary_encodes_as_before(trained: BPETokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path)
    loaded = load_gpt2_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    assert loaded.encode(STORY) == trained.encode(STORY)
    assert loaded.n_vocab == len(trained.tokens)


def test_special_tokens_are_ids_only_where_they_are_asked_for(trained: BPETokenizer) -> None:
    tokenizer = trained.tokenizer()
    end, twice = (trained.tokens.index(token) for token in trained.special_tokens)
    text = f"{END_OF_TEXT}Hello{END_OF_TEXT}{END_OF_TEXT} world{END_OF_TEXT}"
    ids = tokenizer.encode(text, parse_special=True)
    assert [index for index in ids if index in (end, twice)] == [end, twice, end]  # the longest one wins
    assert not {end, twice} & set(tokenizer.encode(text))
    assert tokenizer.decode(ids) == tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Hello world"


def test_training_does_not_count_special_tokens_or_merge_across_them(trained: BPETokenizer) -> None:
    assert not any("|" in token for token in trained.tokens[256:-2])
    assert trained.tokens[-2:] == trained.special_tokens
    assert list(trained.tokens[256:-2]) == ["".join(merge) for merge in trained.merges]
    small = train_bpe(f"ab{END_OF_TEXT}cd{END_OF_TEXT}ab", 300)
    assert small.merges == (("a", "b"), ("c", "d"))


def test_both_ways_to_train_learn_the_same_merges(trained: BPETokenizer) -> None:
    fast = train_bpe(CORPUS, len(trained.tokens), fast=True, special_tokens=trained.special_tokens)
    assert fast.merges == trained.merges


def test_a_tie_goes_to_the_lowest_ids() -> None:
    """CS336 breaks ties the other way, towards the greater pair."""
    assert train_bpe("ba dc", 257, special_tokens=()).merges[0] == ("b", "a")


def test_gpt4s_split_pattern() -> None:
    """The pre-tokenizer of `dbrx` and others is GPT-4's, as the `tokenizers` library applies it."""
    from tokenizers import Regex, pre_tokenizers

    alphabet = encode_byte_level(bytes(range(256)))
    keys = {"model": "gpt2", "pre": "dbrx", "tokens": alphabet, "token_type": [1] * 256, "merges": []}
    metadata = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    ours = load_tokenizer(SimpleNamespace(metadata=metadata, paths=["x"])).hf_tokenizer.pre_tokenizer
    split = pre_tokenizers.Split(Regex(GPT4_PATTERN), behavior="isolated")
    theirs = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    for text in [*TEXTS, "I'VE 1234567 don'T\r\n\r\n  x\n \n\n y", "a" * 50 + " \t \n" * 9]:
        assert ours.pre_tokenize_str(text) == theirs.pre_tokenize_str(text)


def test_gpt2s_ids(gpt2: Tokenizer) -> None:
    """The ids that tiktoken's documentation and both courses quote."""
    assert gpt2.encode("hello world") == [31373, 995]
    assert gpt2.encode("Hello, how are you?") == [15496, 11, 703, 389, 345, 30]
    assert gpt2.encode("\U0001f643") == [8582, 247, 225]
    assert gpt2.encode(f"a{END_OF_TEXT}", parse_special=True) == [64, 50256]
    assert gpt2.decode(gpt2.encode(CORPUS)) == CORPUS


def lines_of(text: str, seen: list[int]) -> Iterator[str]:
    for line in text.splitlines(keepends=True):
        seen.append(len(line))
        yield line


@pytest.mark.parametrize("parse_special", [True, False])
def test_an_iterable_has_the_ids_of_the_joined_text(
    parse_special: bool, trained: BPETokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = trained.tokenizer()
    expected = tokenizer.encode(CORPUS, parse_special=parse_special)
    assert list(tokenizer.encode_iterable([], parse_special=parse_special)) == []
    monkeypatch.setattr(core, "_CHUNK_CHARS", 100)
    monkeypatch.setattr(core, "_MAX_CHUNK_CHARS", 400)
    for texts in (lines_of(CORPUS, []), CORPUS, [CORPUS], ["", CORPUS[:77], "", CORPUS[77:]]):
        assert list(tokenizer.encode_iterable(texts, parse_special=parse_special)) == expected


def test_an_iterable_is_read_only_as_far_as_needed(
    trained: BPETokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded: the text read but not yet encoded stays below a fixed size."""
    tokenizer = trained.tokenizer()
    monkeypatch.setattr(core, "_CHUNK_CHARS", 100)
    monkeypatch.setattr(core, "_MAX_CHUNK_CHARS", 400)
    seen: list[int] = []
    text = STORY * 200
    n_encoded = largest = 0
    for index in tokenizer.encode_iterable(lines_of(text, seen)):
        n_encoded += len(tokenizer.token_bytes(index))
        largest = max(largest, sum(seen) - n_encoded)
    assert sum(seen) == len(text)
    assert largest < 2 * 400 + len(STORY)
