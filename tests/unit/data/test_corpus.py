"""What a model is trained on, by name or path: the same batches from memory, from shards, and again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zeropoint.data import corpus as module
from zeropoint.data.corpus import find_data, open_corpus
from zeropoint.data.prepare import prepare
from zeropoint.data.text_codec import END_CHARACTER, load_codec, train_codec
from zeropoint.data.tokenize import TokenizeOptions
from zeropoint.errors import BadInput
from zeropoint.settings import Settings as Preferences
from zeropoint.tokenizers.train.bpe import train_bpe


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZEROPOINT_HOME", str(tmp_path / "home"))
    (tmp_path / "texts").mkdir()
    for n in range(30):
        (tmp_path / "texts" / f"{n}.txt").write_text(f"Story {n} is about {n * n} boats in a harbour.\n" * 3)
    return tmp_path / "texts"


@pytest.mark.parametrize("order", ["windows", "epochs"])
def test_memory_shards_and_cache_give_the_same_batches(
    folder: Path, tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TokenizeOptions("characters", validation=0.2)
    prepare(folder, tmp_path / "shards", settings, shard_tokens=500)
    corpora = [open_corpus(folder, settings), open_corpus(tmp_path / "shards")]
    monkeypatch.setattr(module, "_IN_MEMORY_BYTES", 10)
    corpora.append(open_corpus(str(folder), settings))
    assert len(list((tmp_path / "home" / "prepared").glob("texts-*"))) == 1
    assert len({corpus.sha256 for corpus in corpora}) == 1
    for side in (0, 1):
        batches = [corpus.batches(order, n_ctx=16, n_rows=4, seed=7)[side] for corpus in corpora]
        for step in (0, 5, 40):
            first, *others = [batch.batch(step) for batch in batches]
            for other in others:
                assert (first[0] == other[0]).all()
                assert (first[1] == other[1]).all()


def test_one_text_is_learned_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("".join(f"line {n}\n" for n in range(200)))
    corpus = open_corpus(path)
    text = path.read_text()
    n = int(len(text) * 0.9)
    assert corpus.codec.decode(corpus.train[:].tolist()) == text[:n]
    assert corpus.codec.decode(corpus.validation[:].tolist()) == text[n:]
    assert corpus.codec.end_id is None
    assert corpus.train[:].dtype == np.uint16


def test_the_bundled_story_is_long_enough_to_train_on() -> None:
    corpus = open_corpus("harbour")
    assert len(corpus.train) > 20_000
    assert len(corpus.validation) > 2_000
    assert corpus.name == "harbour"


def test_shards_of_what_was_changed_since_are_refused(folder: Path, tmp_path: Path) -> None:
    prepare(folder, tmp_path / "shards", TokenizeOptions("characters"))
    (folder / "7.txt").touch()
    open_corpus(tmp_path / "shards")  # a newer time alone is no change
    (folder / "7.txt").write_text("Another story.")
    with pytest.raises(BadInput, match=r"7\.txt of .* was changed since .* zeropoint data prepare"):
        open_corpus(tmp_path / "shards")
    (folder / "7.txt").unlink()
    with pytest.raises(BadInput, match=r"7\.txt"):
        open_corpus(tmp_path / "shards")
    folder.rename(tmp_path / "moved")
    open_corpus(tmp_path / "shards")  # shards stand alone


def test_a_name_comes_before_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harbour").mkdir()
    preferences = Preferences.read()
    assert find_data("harbour", preferences=preferences).name == "harbour.txt"
    assert find_data("./harbour", preferences=preferences) == Path("harbour")
    with pytest.raises(BadInput, match=r"unknown data set `harbor`.*closest: harbour.*path"):
        find_data("harbor", preferences=preferences)
    with pytest.raises(BadInput, match="is not one text but 6 files"):
        find_data("multi30k", preferences=Preferences.read({"offline": True}))


def test_what_is_not_known_is_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"unknown order `epoch`.*closest: epochs"):
        open_corpus(folder).batches("epoch", n_ctx=4, n_rows=1, seed=0)
    with pytest.raises(BadInput, match=r"unknown tokenizer `char`.*characters.*tokenizer\.json"):
        open_corpus(folder, TokenizeOptions("char"))


def test_a_tokenizer_of_ones_own(folder: Path, tmp_path: Path) -> None:
    made = train_codec("bpe", ["the harbour and the boats"], n_vocab=270, has_end=True)
    (tmp_path / "tokenizer.json").write_bytes(made.content)
    for path in (tmp_path / "tokenizer.json", tmp_path):
        corpus = open_corpus(folder, TokenizeOptions(str(path)))
        assert corpus.codec.sha256 == made.sha256
        assert corpus.codec.end_id == made.end_id == made.n_vocab - 1
        assert corpus.train[-1:].tolist() == [made.end_id]
    train_bpe("the harbour and the boats", 270).save(tmp_path / "gpt2")
    assert load_codec(tmp_path / "gpt2").encode("the boats") == made.encode("the boats")
    few = train_codec("characters", ["abc"], n_vocab=0, has_end=False)
    few.save(tmp_path / "few.json")
    with pytest.raises(BadInput, match=r"0\.txt: the character 'S' .*train a tokenizer on text that"):
        open_corpus(folder, TokenizeOptions(str(tmp_path / "few.json")))


def test_characters_have_an_end_where_documents_end() -> None:
    codec = train_codec("characters", ["ab", "bc"], n_vocab=0, has_end=True)
    assert codec.decode(codec.array("abc", ends=True).tolist()) == "abc" + END_CHARACTER
    assert json.loads(codec.content)["characters"] == END_CHARACTER + "abc"


@pytest.mark.parametrize("order", ["windows", "epochs"])
def test_a_text_that_is_too_short_is_named_with_its_part(order: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("ab" * 10)
    corpus = open_corpus(tmp_path / "note.txt")
    with pytest.raises(
        BadInput, match=r"note\.txt, what is held out: the text has 2 tokens; .* of 8 need more"
    ):
        corpus.batches(order, n_ctx=8, n_rows=2, seed=1)


@pytest.mark.parametrize("text", ["a", "a" * 500])
def test_a_text_of_one_character_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(BadInput, match=r"a\.txt has one character and no other"):
        open_corpus(tmp_path / "a.txt")
