"""Hugging Face folders: companion files, the chat template, and which folders may be overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from zeropoint.errors import BadModelFile
from zeropoint.weights.hf_folder import config_with_dtype, holds_only_a_model, open_hf_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
    return tmp_path


def test_companion_files_are_listed(folder: Path):
    companions = [
        "LICENSE",
        "README.md",
        "generation_config.json",
        "merges.txt",
        "tokenizer.json",
        "tokenizer.model",
    ]
    for name in [*companions, "code.py", "notes.txt", "optimizer.pt"]:
        (folder / name).write_text("{}")
    (folder / "tokenizer_backup").mkdir()
    opened = open_hf_folder(folder)
    assert list(opened.files) == companions
    assert opened.json("tokenizer.json") == {}
    assert opened.json("tokenizer_config.json") == {}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ a }}", "{{ a }}"),
        ([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}], "d"),
        ([{"name": "tool_use", "template": "t"}], None),
        (None, None),
        (3, None),
    ],
)
def test_the_chat_template_is_found(template: object, expected: str | None, folder: Path):
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    assert open_hf_folder(folder).template == expected
    (folder / "chat_template.jinja").write_text("own")
    assert open_hf_folder(folder).template == "own"
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(BadModelFile, match=r"chat_template.jinja is not valid UTF-8"):
        _ = open_hf_folder(folder).template


def test_weights_may_have_another_file_name(folder: Path):
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    assert list(open_hf_folder(folder).stored.tensors) == ["a"]
    save_file({"a": torch.ones(2)}, folder / "second.safetensors")
    with pytest.raises(BadModelFile, match=r"has 2 safetensors files but no model.safetensors.index.json"):
        open_hf_folder(folder)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(BadModelFile, match=r"has no model.safetensors; give a folder with the weights"):
        open_hf_folder(folder)


def test_safetensors_take_precedence_over_pickles(folder: Path):
    (folder / "pytorch_model.bin").write_bytes(b"junk")
    assert list(open_hf_folder(folder, allow_pickle=True).stored.tensors) == ["a"]


def test_only_a_folder_that_holds_a_model_may_be_overwritten(folder: Path):
    assert holds_only_a_model(folder)
    (folder / "tokenizer.json").touch()
    (folder / "model-00001-of-00002.safetensors").touch()
    assert holds_only_a_model(folder)
    for name in ("thesis.tex", "tokenizer.gguf/", "model.gguf"):
        path = folder / name
        path.mkdir() if name.endswith("/") else path.touch()
        assert not holds_only_a_model(folder)
        path.rmdir() if name.endswith("/") else path.unlink()
    (folder / "config.json").unlink()
    assert not holds_only_a_model(folder)


def test_the_weights_dtype_is_written_to_the_config():
    config = json.loads(
        config_with_dtype({"a": "é", "dtype": "x", "torch_dtype": "y", "auto_map": {}}, "BF16")
    )
    assert config == {"a": "é", "torch_dtype": "bfloat16"}
