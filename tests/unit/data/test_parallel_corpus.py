"""Parallel corpora by name or folder: parts, the shared vocabulary, and errors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.support.tiny_pairs import PAIRS, write_pairs
from zeropoint.data.parallel_corpus import find_parallel_files, open_parallel_corpus
from zeropoint.data.tokenize import TokenizeOptions
from zeropoint.errors import BadInput


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs")


def test_a_folder_has_parts_in_both_languages(folder: Path) -> None:
    (folder / "notes.txt").write_text("no part")
    (folder / "extra.de").write_text("only one side")
    assert sorted(find_parallel_files(str(folder), "de-en")) == ["test", "train", "val"]
    source, target = find_parallel_files(str(folder), "en-de")["train"]
    assert (source.name, target.name) == ("train.en.gz", "train.de.gz")


def test_both_languages_share_one_vocabulary(folder: Path) -> None:
    corpus = open_parallel_corpus(str(folder), "de-en", TokenizeOptions("words"))
    assert len(corpus.train) == len(corpus.validation) == len(PAIRS)
    source, target = corpus.train[-1]
    assert (corpus.codec.decode(source), corpus.codec.decode(target)) == PAIRS[-1]
    assert source[-1] == target[-1] == corpus.codec.end_id
    assert target[0] == corpus.codec.begin_id
    assert corpus.sha256["val.de"] == hashlib.sha256((folder / "val.de").read_bytes()).hexdigest()


def test_a_tokenizer_can_be_loaded(folder: Path, tmp_path: Path) -> None:
    trained = open_parallel_corpus(str(folder), "de-en", TokenizeOptions("words"))
    trained.codec.save(tmp_path / "tokenizer.json")
    again = open_parallel_corpus(str(folder), "de-en", TokenizeOptions(str(tmp_path / "tokenizer.json")))
    assert again.train == trained.train


def test_pairs_with_an_empty_side_are_dropped(folder: Path) -> None:
    before = open_parallel_corpus(str(folder), "de-en", TokenizeOptions("words"))
    for language, more in (("de", "Hund\n\n"), ("en", "\ndog\n")):
        with (folder / f"val.{language}").open("a") as file:
            file.write(more)
    corpus = open_parallel_corpus(str(folder), "de-en", TokenizeOptions("words"))
    assert corpus.validation == before.validation
    assert corpus.validation_texts == before.validation_texts
    assert len(corpus.validation) == len(corpus.validation_texts)


def test_errors_name_what_is_missing(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"no parallel text in de-fr; expected files like train\.de"):
        find_parallel_files(str(folder), "de-fr")
    for languages in ("german", "de-de", "../x-en"):
        with pytest.raises(BadInput, match="expected two file endings, like de-en"):
            find_parallel_files(str(folder), languages)
    with pytest.raises(BadInput, match=r"closest: multi30k\); or give a folder"):
        find_parallel_files("multi30", "de-en")
    (folder / "val.en").unlink()
    with pytest.raises(BadInput, match="has no part `val` in de-en"):
        open_parallel_corpus(str(folder), "de-en", TokenizeOptions("words"))


def test_multi30k_by_name(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROPOINT_DATA", str(data_folder))
    assert sorted(find_parallel_files("multi30k", "de-en")) == ["test_2016_flickr", "train", "val"]
