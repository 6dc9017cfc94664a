"""`zeropoint convert`: output line, JSON, overwriting, rejected sources, progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from zeropoint.weights.gguf.reader import open_gguf


def test_one_line_describes_the_result(run: Run, tiny_path: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    result = run("convert", str(tiny_path), str(target), "--to", "q8_0")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{target}: 0.1 MB (5 F32, 15 Q8_0 tensors), verified and run\n"
    assert open_gguf(target).tensors["blk.0.attn_q.weight"].format == "Q8_0"


def test_json(run: Run, tiny_path: Path, tmp_path: Path) -> None:
    result = run("convert", str(tiny_path), str(tmp_path / "out"), "--shard-size", "0.001", "--json")
    output = json.loads(result.out)
    assert output["path"] == str(tmp_path / "out")
    assert output["tensors_by_format"] == {"F32": 20}
    assert output["was_run"] is True


def test_overwriting_needs_force(run: Run, tiny_path: Path, tmp_path: Path) -> None:
    (tmp_path / "out.gguf").write_bytes(b"mine")
    result = run("convert", str(tiny_path), str(tmp_path / "out.gguf"))
    assert (result.code, result.out) == (2, "")
    assert "exists; choose another target, or replace it with --force" in result.err
    assert (tmp_path / "out.gguf").read_bytes() == b"mine"
    assert run("convert", str(tiny_path), str(tmp_path / "out.gguf"), "--force").code == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("model.bin", "pickle files can run code; convert to safetensors"),
        ("empty", "config.json is missing"),
        ("junk.gguf", "is not a GGUF file"),
        ("model.safetensors", "give its folder"),
    ],
)
def test_unusable_sources_are_rejected(source: str, message: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("model.bin", "junk.gguf", "model.safetensors"):
        (tmp_path / name).write_bytes(b"junk" * 10)
    result = run("convert", str(tmp_path / source), str(tmp_path / "out.gguf"))
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("target", "format", "message"),
    [
        ("out.gguf", "Q9", "unknown format `Q9`; expected one of BF16, "),
        ("out.gguf", "gguf", "GGUF is a type of file, not a format of weights; the target's name chooses it"),
        ("out", "q4_0", "a folder can store F32, F16, BF16, not Q4_0"),
        ("out.bin", "Q8_0", "a target must end in .gguf or be the name of a folder"),
    ],
)
def test_what_needs_no_source_is_checked_first(
    target: str, format: str, message: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", pytest.fail)
    for source in ("nope.gguf", "hf:owner/repo"):
        result = run("convert", source, target, "--to", format)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert message in result.err


def test_verbose_prints_progress(run: Run, tiny_path: Path, tmp_path: Path) -> None:
    result = run("convert", "-v", str(tiny_path), str(tmp_path / "out"))
    assert "writing out: 100 %" in result.err
