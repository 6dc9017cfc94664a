"""The word tokenizer: words that occur often enough, others as one token, and marks where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.tokenizers.train.words import SPECIALS, WordTokenizer, train_words


def test_words_that_occur_often_enough_the_most_frequent_first() -> None:
    words = train_words(["A dog, a dog.", "A cat ."], least=2)
    assert words.words == (*SPECIALS, ".", "A", "dog")
    assert words.encode("A cat .") == [5, words.unk_id, 4]
    assert len(train_words(["A dog, a dog.", "A cat ."], least=1).words) == len(SPECIALS) + 6


def test_marks_go_back_to_their_words() -> None:
    text = "Zwei T-Shirts (blau), [eins] – it's 3 o'clock!"
    words = train_words([text] * 2)
    assert words.decode(words.encode(text)) == text


def test_no_text_becomes_a_special_and_none_is_written() -> None:
    words = train_words(["a < / s >"], least=1)
    assert not {words.pad_id, words.bos_id, words.eos_id} & set(words.encode("</s> <s> a"))
    assert words.decode([words.bos_id, *words.encode("a z"), words.eos_id, words.pad_id]) == "a <unk>"
    with pytest.raises(BadInput, match="token id 99"):
        words.decode([99])


def test_a_text_of_rare_words_is_refused() -> None:
    with pytest.raises(BadInput, match="no word occurs 2 times"):
        train_words(["a b c"])


def test_saved_and_loaded(tmp_path: Path) -> None:
    words = train_words(["ein Hund, ein Hündchen"], least=1)
    words.save(tmp_path / "words.json")
    assert WordTokenizer.load(tmp_path / "words.json") == words


@pytest.mark.parametrize("content", [
    "", "[]", '{"kind": "zeropoint.words"}', '{"kind": "zeropoint.words", "words": ["a"]}',
    '{"kind": "zeropoint.words", "words": ["<blank>", "<s>", "</s>", "<unk>", 5]}',
    '{"kind": "zeropoint.words", "words": ["<blank>", "<s>", "</s>", "<unk>", ["a"]]}',
    '{"kind": "zeropoint.words", "words": ["<blank>", "<s>", "</s>", "<unk>", "a", "a"]}',
])  # fmt: skip
def test_a_damaged_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(content)
    with pytest.raises(BadModelFile, match=r"words\.json: no word tokenizer"):
        WordTokenizer.load(tmp_path / "words.json")
