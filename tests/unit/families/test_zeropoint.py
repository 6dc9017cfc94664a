"""Our own GGUF architecture: any blueprint round-trips."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from zeropoint import families
from zeropoint.blueprint import catalog
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.gguf.writer import write_gguf


@pytest.mark.parametrize("name", ["gpt2", "mixtral-8x7b", "t5-small", "gemma-2-2b"])
def test_any_blueprint_round_trips(name: str, tmp_path: Path) -> None:
    blueprint = dataclasses.replace(catalog.load(name), family="zeropoint")
    path = tmp_path / "own.gguf"
    write_gguf(path, families.for_blueprint(blueprint).to_gguf(blueprint), [])
    file = open_gguf(path)
    assert families.for_gguf(file).from_gguf(file) == blueprint


def test_an_invalid_blueprint_is_rejected_with_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    write_gguf(path, {"general.architecture": "zeropoint", "zeropoint.blueprint": "version = "}, [])
    file = open_gguf(path)
    with pytest.raises(BadModelFile, match=r"own\.gguf"):
        families.for_gguf(file).from_gguf(file)


def test_there_is_no_hugging_face_format() -> None:
    blueprint = dataclasses.replace(catalog.load("gpt2"), family="zeropoint")
    with pytest.raises(BadInput, match="no Hugging Face format"):
        families.for_blueprint(blueprint).tensor_map(blueprint, "hf")
