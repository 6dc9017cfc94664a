"""Parallel text by name or folder: its parts, its one vocabulary, and what is said where some is missing."""

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
    source, answer = find_parallel_files(str(folder), "en-de")["train"]
    assert (source.name, answer.name) == ("train.en.gz", "train.de.gz")


def test_one_vocabulary_serves_both_languages(folder: Path) -> None:
    found = open_parallel_corpus(str(folder), "de-en", TokenizeOptions("words"))
    assert len(found.train) == len(found.validation) == len(PAIRS)
    source, answer = found.train[-1]
    assert (found.codec.decode(source), found.codec.decode(answer)) == PAIRS[-1]
    assert source[-1] == answer[-1] == found.codec.end_id
    assert answer[0] == found.codec.begin_id
    assert found.sha256["val.de"] == hashlib.sha256((folder / "val.de").read_bytes()).hexdigest()


def test_a_tokenizer_of_ones_own_is_read(folder: Path, tmp_path: Path) -> None:
    made = open_parallel_corpus(str(folder), "de-en", TokenizeOptions("words"))
    made.codec.save(tmp_path / "tokenizer.json")
    again = open_parallel_corpus(str(folder), "de-en", TokenizeOptions(str(tmp_path / "tokenizer.json")))
    assert again.train == made.train


def test_pairs_with_an_empty_side_are_not_learnt_from(folder: Path) -> None:
    before = open_parallel_corpus(str(folder), "de-en", TokenizeOptions("words"))
    for language, more in (("de", "Hund\n\n"), ("en", "\ndog\n")):
        with (folder / f"val.{language}").open("a") as file:
            file.write(more)
    found = open_parallel_corpus(str(folder), "de-en", TokenizeOptions("words"))
    assert found.validation == before.validation
    assert found.validation_texts == before.validation_texts
    assert len(found.validation) == len(found.validation_texts)


def test_what_is_missing_is_said(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"no parallel text in de-fr; expected files such as train\.de"):
        find_parallel_files(str(folder), "de-fr")
    for languages in ("german", "de-de", "../x-en"):
        with pytest.raises(BadInput, match="expected two as their files end, such as de-en"):
            find_parallel_files(str(folder), languages)
    with pytest.raises(BadInput, match=r"closest: multi30k\); or a folder"):
        find_parallel_files("multi30", "de-en")
    (folder / "val.en").unlink()
    with pytest.raises(BadInput, match="has no part `val` in de-en"):
        open_parallel_corpus(str(folder), "de-en", TokenizeOptions("words"))


def test_multi30k_is_found_by_its_name(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROPOINT_DATA", str(data_folder))
    assert sorted(find_parallel_files("multi30k", "de-en")) == ["test_2016_flickr", "train", "val"]
