"""The character tokenizer: sorted ids, exact round trips, and errors that name the character."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.train.char import CharTokenizer, train_char


def test_ids_follow_the_sorted_characters() -> None:
    tokenizer = train_char("hello é😀\n")
    assert tokenizer.characters == tuple(sorted(set("hello é😀\n")))
    assert tokenizer.encode("\n h") == [0, 1, 3]
    assert tokenizer.decode(tokenizer.encode("hole 😀é")) == "hole 😀é"
    assert (tokenizer.encode(""), tokenizer.decode([])) == ([], "")


def test_an_unknown_character_is_named() -> None:
    with pytest.raises(BadInput, match=r"'z' \(U\+007A\) at position 2"):
        train_char("abc").encode("abz")
    with pytest.raises(BadInput, match="token id 3"):
        train_char("abc").decode([3])
    with pytest.raises(BadInput, match="token id -1"):
        train_char("abc").decode([-1])
    with pytest.raises(BadInput, match="empty"):
        train_char("")


def test_saving_and_loading_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "characters.json"
    tokenizer = train_char('naïve \u2028\x00"\\😀')
    tokenizer.save(path)
    assert CharTokenizer.load(path) == tokenizer


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"kind": "zeropoint.char"}', '{"kind": "zeropoint.char", "characters": "aa"}',
    '{"kind": "zeropoint.char", "characters": ""}', '{"kind": "zeropoint.char", "characters": "\\ud800"}',
    "[" * 100_000,
])  # fmt: skip
def test_errors_name_the_damaged_file(content: str, tmp_path: Path) -> None:
    path = tmp_path / "characters.json"
    path.write_text(content)
    with pytest.raises(BadModelFile, match=r"characters\.json"):
        CharTokenizer.load(path)


def test_gguf_metadata_can_hold_any_characters() -> None:
    text = "Hello \\ wörld\u2581\n\t\x00\x7f 日本 😀!"
    tokenizer = train_char(text)
    again = tokenizer.tokenizer()
    assert again.encode(text) == tokenizer.encode(text)
    assert again.decode(again.encode(text)) == text
    assert again.n_vocab == tokenizer.n_vocab
    assert (again.bos_id, again.eos_id, again.stop_ids) == (None, None, frozenset())
    with pytest.raises(BadInput, match=r"'z' \(U\+007A\) at position 2"):
        again.encode("Hez")


def test_a_vocabulary_with_a_character_twice_is_rejected() -> None:
    metadata = {"tokenizer.ggml.model": "rwkv", "tokenizer.ggml.tokens": ["\n", "\\n"]}
    with pytest.raises(BadModelFile, match="two tokens are the same character"):
        load_tokenizer(SimpleNamespace(metadata=metadata))
