"""`locate` alone decides what kind of model a path is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_run import TINY_RUNS, write_tiny_run
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.weights.open_model import Location, locate, open_file


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_tiny_run(tmp_path / "run", next(iter(TINY_RUNS.values())))
    return tmp_path / "run"


def test_a_gguf_file_is_recognized_by_its_ending(tiny_path: Path) -> None:
    assert locate(tiny_path) == Location("gguf", tiny_path)


def test_a_run_its_pointers_and_its_checkpoints_are_a_run(run: Path) -> None:
    (checkpoint,) = (run / "checkpoints").iterdir()
    for path in (run, run / "latest", checkpoint):
        assert locate(path) == Location("run", checkpoint)


def test_any_other_folder_is_a_hugging_face_folder(run: Path, tmp_path: Path) -> None:
    assert locate(tmp_path) == Location("hf", tmp_path)
    assert locate(run / "checkpoints") == Location("hf", run / "checkpoints")


def test_a_run_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(BadInput, match="has no checkpoint yet; train it first"):
        locate(tmp_path)


def test_a_file_that_is_not_a_model_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    for name, message in (
        ("a.safetensors", "contains only weights"),
        ("a.bin", "pickle files can run code"),
        ("a.txt", "not a GGUF file"),
    ):
        (tmp_path / name).write_text("text")
        with pytest.raises(BadModelFile, match=message):
            open_file(locate(tmp_path / name))
