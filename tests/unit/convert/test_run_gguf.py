"""The native engine's view of a path: a GGUF file, or a training run exported once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_run import TINY_RUNS, write_tiny_run
from zeropoint.convert.run_gguf import open_native
from zeropoint.errors import BadInput


def test_a_gguf_file_is_opened_as_it_is(tiny_path: Path) -> None:
    assert open_native(tiny_path).paths == (tiny_path,)


def test_a_run_is_exported_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_tiny_run(run, next(iter(TINY_RUNS.values())))
    first = open_native(run)
    (target,) = first.paths
    assert (target.name, target.parent.parent) == ("model.gguf", run / "checkpoints")
    assert {tensor.format for tensor in first.tensors.values()} == {"F32"}
    written = target.stat().st_mtime_ns
    assert open_native(run / "latest").paths == (target,)
    assert target.stat().st_mtime_ns == written


def test_a_hugging_face_folder_must_be_converted_first(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is a Hugging Face folder; .* zeropoint convert .* model\.gguf"):
        open_native(tmp_path)
