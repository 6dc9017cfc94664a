"""The word tokenizer: frequent words, one token for all others, and punctuation."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.tokenizers.train.words import SPECIAL_TOKENS, WordTokenizer, train_words


def test_frequent_words_are_ordered_by_frequency() -> None:
    words = train_words(["A dog, a dog.", "A cat ."], min_count=2)
    assert words.words == (*SPECIAL_TOKENS, ".", "A", "dog")
    assert words.encode("A cat .") == [5, words.unk_id, 4]
    assert len(train_words(["A dog, a dog.", "A cat ."], min_count=1).words) == len(SPECIAL_TOKENS) + 6


def test_decoding_attaches_punctuation() -> None:
    text = "Zwei T-Shirts (blau), [eins] – it's 3 o'clock!"
    words = train_words([text] * 2)
    assert words.decode(words.encode(text)) == text


def test_text_does_not_encode_to_special_tokens() -> None:
    words = train_words(["a < / s >"], min_count=1)
    assert not {words.pad_id, words.bos_id, words.eos_id} & set(words.encode("</s> <s> a"))
    assert words.decode([words.bos_id, *words.encode("a z"), words.eos_id, words.pad_id]) == "a <unk>"
    with pytest.raises(BadInput, match="token id 99"):
        words.decode([99])


def test_a_text_of_rare_words_is_rejected() -> None:
    with pytest.raises(BadInput, match="no word occurs at least 2 times"):
        train_words(["a b c"])


def test_saving_and_loading_round_trips(tmp_path: Path) -> None:
    words = train_words(["ein Hund, ein Hündchen"], min_count=1)
    words.save(tmp_path / "words.json")
    assert WordTokenizer.load(tmp_path / "words.json") == words


@pytest.mark.parametrize("content", [
    "", "[]", '{"kind": "zeropoint.words"}', '{"kind": "zeropoint.words", "words": ["a"]}',
    '{"kind": "zeropoint.words", "words": ["<blank>", "<s>", "</s>", "<unk>", 5]}',
    '{"kind": "zeropoint.words", "words": ["<blank>", "<s>", "</s>", "<unk>", ["a"]]}',
    '{"kind": "zeropoint.words", "words": ["<blank>", "<s>", "</s>", "<unk>", "a", "a"]}',
])  # fmt: skip
def test_errors_name_the_damaged_file(content: str, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(content)
    with pytest.raises(BadModelFile, match=r"words\.json is not a word tokenizer"):
        WordTokenizer.load(tmp_path / "words.json")
