"""`zeropoint convert` from outside: names in, one line out, errors as sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from zeropoint.weights.gguf.reader import open_gguf


def test_a_line_says_what_was_made(run: Run, tiny_path: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    result = run("convert", str(tiny_path), str(target), "--to", "q8_0")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{target}: 0.1 MB (5 F32, 15 Q8_0 tensors), read again and run\n"
    assert open_gguf(target).tensors["blk.0.attn_q.weight"].format == "Q8_0"


def test_json(run: Run, tiny_path: Path, tmp_path: Path) -> None:
    result = run("convert", str(tiny_path), str(tmp_path / "out"), "--shard-size", "0.001", "--json")
    made = json.loads(result.out)
    assert made["path"] == str(tmp_path / "out")
    assert made["formats"] == {"F32": 20}
    assert made["was_run"] is True


def test_no_overwriting_without_force(run: Run, tiny_path: Path, tmp_path: Path) -> None:
    (tmp_path / "out.gguf").write_bytes(b"mine")
    result = run("convert", str(tiny_path), str(tmp_path / "out.gguf"))
    assert (result.code, result.out) == (2, "")
    assert "exists; choose another target, or replace it with --force" in result.err
    assert (tmp_path / "out.gguf").read_bytes() == b"mine"
    assert run("convert", str(tiny_path), str(tmp_path / "out.gguf"), "--force").code == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("model.bin", "pickle files can run code; convert to safetensors"),
        ("empty", "config.json is missing"),
        ("junk.gguf", "is not a GGUF file"),
        ("model.safetensors", "give its folder"),
    ],
)
def test_sources_that_are_refused(source: str, words: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("model.bin", "junk.gguf", "model.safetensors"):
        (tmp_path / name).write_bytes(b"junk" * 10)
    result = run("convert", str(tmp_path / source), str(tmp_path / "out.gguf"))
    assert (result.code, result.out) == (2, "")
    assert words in result.err
    assert result.err.count("\n") == 1


def test_progress_and_notices_with_v(run: Run, tiny_path: Path, tmp_path: Path) -> None:
    result = run("convert", "-v", str(tiny_path), str(tmp_path / "out"))
    assert "writing out: 100 %" in result.err
