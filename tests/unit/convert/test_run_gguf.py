"""The native engine's view of a path: a GGUF file, or a training run exported once."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from tests.support.tiny_run import TINY_RUNS, write_tiny_run
from tests.unit.families.base_configs import BERT
from zeropoint.convert import model_metadata
from zeropoint.convert.run_gguf import open_native
from zeropoint.errors import BadInput, BadModelFile


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


def test_a_file_that_would_change_the_runs_text_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    write_tiny_run(run, TINY_RUNS["llama"])
    original = model_metadata.run_metadata

    def damaged(path: Path, n_vocab: int) -> dict[str, Any]:
        metadata = original(path, n_vocab)
        return metadata | {"tokenizer.ggml.tokens": metadata["tokenizer.ggml.tokens"][::-1]}

    monkeypatch.setattr(model_metadata, "run_metadata", damaged)
    with pytest.raises(BadModelFile, match=r"model\.gguf was not written: the text .* other token ids"):
        open_native(run)
    assert not list(run.glob("checkpoints/*/model.gguf*"))


def test_a_hugging_face_folder_gives_the_command_that_converts_it(tmp_path: Path) -> None:
    folder = tmp_path / "my llama"
    write_tiny_folder(folder, CONFIGS["llama"])
    with pytest.raises(BadInput, match=r"is a Hugging Face folder, and .* convert it once: ") as refused:
        open_native(folder)
    command = shlex.split(str(refused.value).rpartition("convert it once: ")[2])
    assert command == ["zeropoint", "convert", str(folder), "my llama.gguf"]
    with pytest.raises(BadInput, match=r"my llama is a Hugging Face folder, and .* convert it once: "):
        open_native(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r" --allow-pickle$"):
        open_native(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gemma3", "architectures": ["Gemma3"]}, "Gemma3 is a model of the type `gemma3`"),
        (
            {"model_type": "llama"},
            "is a Hugging Face folder, which `zeropoint convert` .*: config.json: `hidden_size` is missing",
        ),
        ({}, "`model_type` is missing; it must be one of bert, "),
        (BERT, "the native engine runs decoders only and bert has an encoder"),
    ],
)
def test_a_folder_that_conversion_would_not_help_says_why(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=message):
        open_native(tmp_path)
