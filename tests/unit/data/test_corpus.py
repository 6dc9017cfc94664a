"""A training corpus by name or path: the same batches from memory, shards and cache."""

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
    for split in (0, 1):
        batches = [corpus.batches(order, n_ctx=16, n_rows=4, seed=7)[split] for corpus in corpora]
        for step in (0, 5, 40):
            first, *others = [batch.batch(step) for batch in batches]
            for other in others:
                assert (first[0] == other[0]).all()
                assert (first[1] == other[1]).all()


def test_a_single_text_holds_out_its_end(tmp_path: Path) -> None:
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


def test_shards_with_changed_sources_are_rejected(folder: Path, tmp_path: Path) -> None:
    prepare(folder, tmp_path / "shards", TokenizeOptions("characters"))
    (folder / "7.txt").touch()
    open_corpus(tmp_path / "shards")  # a newer modification time alone is no change
    (folder / "7.txt").write_text("Another story.")
    with pytest.raises(BadInput, match=r"7\.txt of .* changed after .* zeropoint data prepare"):
        open_corpus(tmp_path / "shards")
    (folder / "7.txt").unlink()
    with pytest.raises(BadInput, match=r"7\.txt"):
        open_corpus(tmp_path / "shards")
    folder.rename(tmp_path / "moved")
    open_corpus(tmp_path / "shards")  # shards work without their sources


def test_a_name_takes_precedence_over_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harbour").mkdir()
    preferences = Preferences.read()
    assert find_data("harbour", preferences=preferences).name == "harbour.txt"
    assert find_data("./harbour", preferences=preferences) == Path("harbour")
    with pytest.raises(BadInput, match=r"unknown data set `harbor`.*closest: harbour.*path"):
        find_data("harbor", preferences=preferences)
    with pytest.raises(BadInput, match=r"has 6 files .* not one text"):
        find_data("multi30k", preferences=Preferences.read({"offline": True}))


def test_unknown_orders_and_tokenizers_are_rejected(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"unknown order `epoch`.*closest: epochs"):
        open_corpus(folder).batches("epoch", n_ctx=4, n_rows=1, seed=0)
    with pytest.raises(BadInput, match=r"unknown tokenizer `char`.*characters.*tokenizer\.json"):
        open_corpus(folder, TokenizeOptions("char"))


def test_a_tokenizer_can_be_loaded(folder: Path, tmp_path: Path) -> None:
    trained = train_codec("bpe", ["the harbour and the boats"], n_vocab=270, has_end=True)
    (tmp_path / "tokenizer.json").write_bytes(trained.content)
    for path in (tmp_path / "tokenizer.json", tmp_path):
        corpus = open_corpus(folder, TokenizeOptions(str(path)))
        assert corpus.codec.sha256 == trained.sha256
        assert corpus.codec.end_id == trained.end_id == trained.n_vocab - 1
        assert corpus.train[-1:].tolist() == [trained.end_id]
    train_bpe("the harbour and the boats", 270).save(tmp_path / "gpt2")
    assert load_codec(tmp_path / "gpt2").encode("the boats") == trained.encode("the boats")
    few = train_codec("characters", ["abc"], n_vocab=0, has_end=False)
    few.save(tmp_path / "few.json")
    with pytest.raises(BadInput, match=r"0\.txt: the character 'S' .*train a tokenizer on text that"):
        open_corpus(folder, TokenizeOptions(str(tmp_path / "few.json")))


def test_character_tokenizers_have_an_end_token() -> None:
    codec = train_codec("characters", ["ab", "bc"], n_vocab=0, has_end=True)
    assert codec.decode(codec.array("abc", has_end=True).tolist()) == "abc" + END_CHARACTER
    assert json.loads(codec.content)["characters"] == END_CHARACTER + "abc"


@pytest.mark.parametrize("order", ["windows", "epochs"])
def test_the_error_for_a_short_text_names_its_part(order: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("ab" * 10)
    corpus = open_corpus(tmp_path / "note.txt")
    with pytest.raises(
        BadInput,
        match=r"note\.txt, validation part: the text has 2 tokens, but rows of n_ctx=8 need",
    ):
        corpus.batches(order, n_ctx=8, n_rows=2, seed=1)


@pytest.mark.parametrize("text", ["a", "a" * 500])
def test_a_text_of_one_repeated_character_is_rejected(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(BadInput, match=r"a\.txt repeats a single character"):
        open_corpus(tmp_path / "a.txt")
