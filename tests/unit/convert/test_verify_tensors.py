"""Verification of a conversion: every tensor is compared with its source, and both models are run."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import Tiny, write_tiny_model
from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from zeropoint import formats
from zeropoint.convert import smoke_test, verify_tensors
from zeropoint.convert.convert import convert
from zeropoint.errors import BadModelFile, not_installed
from zeropoint.weights.gguf import model as gguf_model
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.safetensors import reader as safetensors_reader

BLOCKS = [name for name in formats.writable() if formats.get(name).BLOCK_WEIGHTS > 1]


@pytest.mark.parametrize("form", BLOCKS)
def test_rounding_errors_stay_within_the_formats_step(form: str) -> None:
    """The bound that the check allows, over weights of all kinds: normal, with outliers, of one sign."""
    block, rng = formats.get(form), np.random.default_rng(2)
    normal = rng.standard_normal((96, 256))
    kinds = [normal, normal**7, np.abs(normal), 3 + 0.01 * normal, np.sign(normal), 1e-4 * normal, 0 * normal]
    weights = np.concatenate(kinds).astype(np.float32).clip(-2688, 2688)  # the range of NVFP4
    found = block.unpack(block.pack(weights))
    assert verify_tensors._is_near(weights, found, form)
    assert not verify_tensors._is_near(weights, np.roll(found, 1, axis=0), form)  # another row's weights


@pytest.mark.parametrize("name", ["out.gguf", "out"])
@pytest.mark.parametrize("form", [None, "F16"])
def test_a_tensor_that_differs_is_named(
    name: str, form: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any tensor, not a sample: one weight of the last one, wrong in the file by its last bit."""
    write_tiny_model(tmp_path / "tiny.gguf", Tiny(is_tied=False))
    changed = "blk.1.ffn_down.weight" if name == "out.gguf" else "model.layers.1.mlp.down_proj.weight"
    original = gguf_model.read_tensor

    def damaged(tensor: gguf_model.TensorInfo) -> np.ndarray:
        packed = original(tensor)
        if tensor.name == changed and ".tmp." in str(tensor.path):
            packed[0] ^= 1
        return packed

    for module in (gguf_model, safetensors_reader):
        monkeypatch.setattr(module, "read_tensor", damaged)
    with pytest.raises(BadModelFile, match=rf"{name}: tensor `{changed}` differs from its source"):
        convert(tmp_path / "tiny.gguf", tmp_path / name, to=form)
    assert not (tmp_path / name).exists()


@pytest.mark.heavy
def test_a_result_with_other_tokens_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_folder(tmp_path / "a", CONFIGS["llama"])
    original = smoke_test._by_native

    def other(*arguments: object) -> smoke_test._Run:
        run = original(*arguments)
        return smoke_test._Run(run.ids, -run.outputs)

    monkeypatch.setattr(smoke_test, "_by_native", other)
    with pytest.raises(BadModelFile, match=r"b.gguf was not written: it gives other tokens than its source"):
        convert(tmp_path / "a", tmp_path / "b.gguf")
    assert convert(tmp_path / "a", tmp_path / "c.gguf", to="Q8_0").was_run  # rounded, so it may


def test_a_skipped_smoke_test_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_model(tmp_path / "tiny.gguf")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "torch", None)
        notices: list[str] = []
        assert not convert(tmp_path / "tiny.gguf", tmp_path / "a", notify=notices.append).was_run
        assert notices == ["the result was verified but not run: " + not_installed("that", "torch")]
        notices.clear()
        assert convert(tmp_path / "a", tmp_path / "b.gguf", notify=notices.append).was_run
        assert notices == [
            "the result was run, but not compared with its source: " + not_installed("that", "torch")
        ]
    monkeypatch.setattr(smoke_test, "available_memory_bytes", lambda: 1000)
    notices.clear()
    assert not convert(tmp_path / "tiny.gguf", tmp_path / "c.gguf", notify=notices.append).was_run
    assert "GB of memory and 0.0 GB is free" in notices[0]


def test_progress_counts_written_and_verified_bytes(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny.gguf")
    seen: list[tuple[int | None, int]] = []
    convert(tmp_path / "tiny.gguf", tmp_path / "b.gguf", progress=lambda *update: seen.append(update))
    total = 2 * sum(info.n_bytes for info in open_gguf(tmp_path / "b.gguf").tensors.values())
    assert seen[-1] == (total, total)
