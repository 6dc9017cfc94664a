"""Folders and missing paths as model names: which file of a folder is the model, and what else to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeropoint.catalogue import fetch
from zeropoint.errors import BadInput


@pytest.fixture(autouse=True)
def folder(home: Path) -> Path:
    """An empty folder `dir` in the current one."""
    Path("dir").mkdir()
    return Path("dir")


def test_a_folder_with_one_file_or_one_model_in_parts_is_that_model(folder: Path) -> None:
    for name in ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf"):
        (folder / name).write_bytes(b"GGUF")
    assert fetch.resolve("./dir").path == folder / "m-00001-of-00002.gguf"
    (folder / "n.gguf").write_bytes(b"GGUF")
    with pytest.raises(BadInput, match=r"has 2 models; name one file: .*n\.gguf"):
        fetch.resolve("./dir")


def test_a_hugging_face_folder_is_found(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"folder dir has no model: no \.gguf file, no config\.json"):
        fetch.resolve("dir/")
    (folder / "config.json").write_text("{}")
    assert fetch.resolve("./dir").path == fetch.resolve("dir").path == folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("runs/nope", r"there is no runs/nope; train a model with"),
        ("dir/nope", r"there is no file or folder dir/nope; .* hf:dir/nope names a repository"),
        ("./nope", r"there is no file or folder nope; `zeropoint models list` shows the models with a name$"),
        ("dir/x.gguf", r"there is no file dir/x\.gguf; `zeropoint models list` shows the models"),
    ],
)
def test_a_path_that_does_not_exist_asks_no_network(
    monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setattr("socket.socket.connect", pytest.fail)
    with pytest.raises(BadInput, match=message):
        fetch.resolve(name)


@pytest.mark.parametrize("name", ["hf", "run", "ollama", "http"])
def test_a_folder_may_have_the_name_of_a_prefix(name: str) -> None:
    Path(name).mkdir()
    (Path(name) / "config.json").write_text("{}")
    assert fetch.resolve(name).path == Path(name)


def test_a_misspelled_run_is_told_the_closest_one() -> None:
    Path("runs/harbour").mkdir(parents=True)
    Path("runs/harbour/run.json").write_text("{}")
    with pytest.raises(BadInput, match=r"no runs/habour: unknown run `habour`.*closest: harbour"):
        fetch.resolve("runs/habour")


def test_a_folder_is_named_without_losing_a_part_of_its_name() -> None:
    Path("runs/v1.2").mkdir(parents=True)
    Path("runs/v1.2/run.json").write_text("{}")
    assert fetch.resolve("runs/v1.2").name == "v1.2"
