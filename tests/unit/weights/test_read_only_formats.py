"""F64 and FP8 weights, scales and the names of torch's wrappers: published checkpoints open as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.one_thread import one_thread
from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from zeropoint.convert.convert import convert
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.hf_folder import open_hf_folder
from zeropoint.weights.open_model import locate, open_file, open_model, read_model
from zeropoint.weights.read_only_formats import unpack
from zeropoint.weights.safetensors.reader import open_safetensors

FP8 = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
__all__ = ["one_thread"]

QUERY = "model.layers.0.self_attn.q_proj.weight"  # [64, 64]
GATE = "model.layers.1.mlp.gate_proj.weight"  # [96, 64]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_folder(tmp_path / "a", CONFIGS["llama"])
    return tmp_path / "a"


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    """Replace the tensors of a folder."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)


def is_matrix(name: str) -> bool:
    return "proj" in name


@pytest.mark.parametrize("form", FP8)
def test_every_fp8_code_equals_torchs(form: str) -> None:
    codes = np.arange(256, dtype=np.uint8)
    expected = torch.from_numpy(codes).view(FP8[form]).float().numpy()
    np.testing.assert_array_equal(unpack(form, codes), expected)


def test_f64_is_rounded_to_float32() -> None:
    values = np.array([1 / 3, -0.0, 1e300, np.nan])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(unpack("F64", values.view(np.uint8)), values.astype(np.float32))


def test_a_folder_of_f64_converts_to_f32(folder: Path, tmp_path: Path) -> None:
    before = dict(open_model(folder).weights)
    rewrite(folder, lambda tensors: {name: tensor.double() for name, tensor in tensors.items()})
    convert(folder, tmp_path / "b.gguf")
    assert {tensor.format for tensor in open_gguf(tmp_path / "b.gguf").tensors.values()} == {"F32"}
    convert(folder, tmp_path / "b")
    opened = open_model(tmp_path / "b")
    for name, weights in before.items():
        np.testing.assert_array_equal(opened.weights[name], weights)


@pytest.mark.parametrize(
    ("end", "shape_of", "config"),
    [
        ("_scale_inv", lambda s: (-(-s[0] // 40), -(-s[1] // 24)), {"weight_block_size": [40, 24]}),
        ("_scale", lambda s: (), {}),
        ("_scale", lambda s: (1,), {}),
        ("_scale", lambda s: (s[0], 1), {}),
        ("_scale", lambda s: (s[0],), {}),
    ],
    ids=["block", "scalar", "one", "row", "vector"],
)
@pytest.mark.parametrize("form", FP8)
def test_fp8_weights_are_read_with_their_scales(
    end: str, shape_of: Callable[..., tuple[int, ...]], config: dict[str, object], form: str, folder: Path
) -> None:
    generator = torch.Generator().manual_seed(1)
    expected: dict[str, torch.Tensor] = {}

    def quantize(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        stored = dict(tensors)
        for name in filter(is_matrix, tensors):
            codes = (16 * tensors[name]).to(FP8[form])
            scale = torch.rand(shape_of(codes.shape), generator=generator) + 0.5
            grid = scale.reshape(-1, 1) if scale.ndim < 2 else scale
            whole_rows = (codes.shape[0] // len(grid), codes.shape[1])
            n_rows, n_columns = (40, 24) if end == "_scale_inv" else whole_rows
            full = grid.repeat_interleave(n_rows, 0).repeat_interleave(n_columns, 1)
            expected[name] = codes.float() * full[: codes.shape[0], : codes.shape[1]]
            stored |= {
                name: codes,
                name + end: scale,
                name.removesuffix("weight") + "input_scale": scale.clone(),
            }
        return stored

    rewrite(folder, quantize)
    path = folder / "config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "quantization_config": {"quant_method": "fp8", **config}})
    )
    opened = open_model(folder)
    assert any(name.endswith("q_proj.input_scale") for name in opened.left_out)
    np.testing.assert_array_equal(opened.weights["blocks.0.attention.query.weight"], expected[QUERY].numpy())
    np.testing.assert_array_equal(opened.weights["blocks.1.ffn.gate.weight"], expected[GATE].numpy())


def test_fp8_becomes_bf16_or_the_requested_format(folder: Path, tmp_path: Path) -> None:
    rewrite(
        folder,
        lambda tensors: (
            {n: t.to(FP8["F8_E4M3"]) if is_matrix(n) else t for n, t in tensors.items()}
            | {name + "_scale": torch.tensor(0.7) for name in filter(is_matrix, tensors)}
        ),
    )
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"quantization_config": {"quant_method": "fp8"}}
    path.write_text(json.dumps(config))
    assert convert(folder, tmp_path / "b.gguf").was_run
    assert open_gguf(tmp_path / "b.gguf").tensors["blk.0.attn_q.weight"].format == "BF16"
    convert(folder, tmp_path / "q.gguf", to="Q8_0")
    assert open_gguf(tmp_path / "q.gguf").tensors["blk.0.attn_q.weight"].format == "Q8_0"
    convert(folder, tmp_path / "c")
    written = open_hf_folder(tmp_path / "c")
    assert written.stored.tensors[QUERY].format == "BF16"
    assert "quantization_config" not in written.config


def test_a_scale_that_does_not_fit_is_refused(folder: Path) -> None:
    rewrite(
        folder,
        lambda tensors: tensors | {GATE: tensors[GATE].to(FP8["F8_E4M3"]), GATE + "_scale": torch.ones(7)},
    )
    with pytest.raises(
        BadModelFile, match=r"gate_proj.weight_scale' has the shape \[7\], which does not divide"
    ):
        open_model(folder)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module."])
def test_names_of_torchs_wrappers_are_removed(prefix: str, folder: Path) -> None:
    before = dict(open_model(folder).weights)
    rewrite(folder, lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()})
    opened = open_model(folder)
    for name, weights in before.items():
        np.testing.assert_array_equal(opened.weights[name], weights)


@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_a_pickled_checkpoint_of_a_compiled_model_opens(key: str | None, folder: Path) -> None:
    before = dict(open_model(folder).weights)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    state = {f"_orig_mod.{name}": tensor.double() for name, tensor in tensors.items()}
    torch.save(state if key is None else {key: state, "step": 3}, folder / "pytorch_model.bin")
    opened = read_model(open_file(locate(folder), allow_pickle=True))
    for name, weights in before.items():
        np.testing.assert_array_equal(opened.weights[name], weights)


def test_rows_of_an_empty_tensor(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.zeros(0, 3)}, path)
    model = open_safetensors(path)
    assert model.rows("w", 0, 0).shape == (0, 3)
    with pytest.raises(BadInput, match=r"x.safetensors: tensor 'w' has 0 rows, not rows 0 to 1"):
        model.rows("w", 0, 1)
