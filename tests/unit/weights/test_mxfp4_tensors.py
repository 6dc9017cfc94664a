"""MXFP4 experts of gpt-oss in safetensors: the numbers of transformers, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.families.configs import SMALL
from zeropoint import families, formats
from zeropoint.blueprint.sources import stored_names
from zeropoint.blueprint.tensors import parameters
from zeropoint.convert.convert import convert
from zeropoint.errors import BadModelFile
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.mxfp4_tensors import to_block_bytes, to_blocks_and_scales
from zeropoint.weights.open_model import open_model

CONFIG = SMALL["gpt-oss"] | {
    "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
}
E, D, F = 4, 32, 64
Arrays = dict[str, np.ndarray]


def tensors() -> Arrays:
    """The tensors of a small gpt-oss as published: experts in blocks and scales, the rest F32."""
    blueprint = families.for_hf(CONFIG).from_hf(CONFIG)
    sources = families.for_blueprint(blueprint).tensor_map(blueprint, "hf")
    rng, shapes = np.random.default_rng(0), parameters(blueprint)
    arrays: Arrays = {}
    for ours, source in sources.items():
        (name,) = stored_names(source)
        if name.endswith("_proj") and "experts" in name:
            n_out, n_in = (2 * F, D) if name.endswith("gate_up_proj") else (D, F)
            arrays[f"{name}_blocks"] = rng.integers(0, 256, (E, n_out, n_in // 32, 16), np.uint8)
            arrays[f"{name}_scales"] = rng.integers(120, 130, (E, n_out, n_in // 32), np.uint8)
        elif name.endswith("gate_up_proj_bias"):
            arrays[name] = rng.normal(size=(E, 2 * F)).astype(np.float32)
        else:
            arrays[name] = rng.normal(size=shapes[ours]).astype(np.float32)
    return arrays


def write_folder(path: Path, arrays: Arrays) -> Path:
    """A folder with config.json and one safetensors file."""
    header, at = {}, 0
    for name, array in arrays.items():
        dtype = "U8" if array.dtype == np.uint8 else "F32"
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    path.mkdir()
    with (path / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.tobytes())
    (path / "config.json").write_text(json.dumps(CONFIG))
    return path


def test_experts_are_those_that_transformers_reads(tmp_path: Path) -> None:
    mxfp4 = pytest.importorskip("transformers.integrations.mxfp4")
    torch = pytest.importorskip("torch")
    arrays = tensors()
    weights = open_model(write_folder(tmp_path / "m", arrays)).weights
    stem = "model.layers.1.mlp.experts."
    for name in ("gate_up_proj", "down_proj"):
        pair = [torch.from_numpy(arrays[f"{stem}{name}_{end}"]) for end in ("blocks", "scales")]
        theirs = mxfp4._convert_moe_packed_tensors(*pair, dtype=torch.float32).numpy()
        if name == "down_proj":
            np.testing.assert_array_equal(weights["blocks.1.ffn.experts.down.weight"], theirs.swapaxes(1, 2))
            continue
        np.testing.assert_array_equal(
            weights["blocks.1.ffn.experts.gate.weight"], theirs[..., 0::2].swapaxes(1, 2)
        )
        np.testing.assert_array_equal(
            weights["blocks.1.ffn.experts.up.weight"], theirs[..., 1::2].swapaxes(1, 2)
        )
    bias = arrays[f"{stem}gate_up_proj_bias"]
    np.testing.assert_array_equal(weights["blocks.1.ffn.experts.up.bias"], bias[:, 1::2])


def test_block_bytes_have_an_inverse() -> None:
    rng = np.random.default_rng(1)
    blocks, scales = rng.integers(0, 256, (2, 3, 4, 16), np.uint8), rng.integers(0, 256, (2, 3, 4), np.uint8)
    again = to_blocks_and_scales(to_block_bytes(blocks, scales))
    np.testing.assert_array_equal(again[0], blocks)
    np.testing.assert_array_equal(again[1], scales)
    first = formats.get("MXFP4").unpack(to_block_bytes(blocks, scales))[0, 0, 0]
    codes = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]
    assert first == np.float32(2.0 ** (int(scales[0, 0, 0]) - 127)) * codes[blocks[0, 0, 0, 0] & 15]


def test_a_folder_converts_to_gguf_without_loss(tmp_path: Path) -> None:
    """Experts keep their format; their biases are F32, as llama.cpp requires."""
    folder = write_folder(tmp_path / "m", tensors())
    convert(folder, tmp_path / "m.gguf")
    before, after = open_model(folder).weights, open_model(tmp_path / "m.gguf").weights
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    stored = open_gguf(tmp_path / "m.gguf").tensors
    assert stored["blk.0.ffn_up_exps.weight"].format == "MXFP4"
    assert stored["blk.0.ffn_up_exps.bias"].format == "F32"


BLOCKS, SCALES = (f"model.layers.0.mlp.experts.down_proj_{end}" for end in ("blocks", "scales"))
BROKEN = {
    f"lacks '{SCALES}'": {SCALES: None},
    f"tensor '{SCALES}' has the shape [4, 32, 3]; it needs [4, 32, 2]": {
        SCALES: np.zeros((4, 32, 3), np.uint8)
    },
    f"tensor '{BLOCKS}' is U8 of shape [4, 32, 2, 8]; MXFP4 needs U8": {
        BLOCKS: np.zeros((4, 32, 2, 8), np.uint8)
    },
    f"tensor '{BLOCKS}' is F32 of shape": {BLOCKS: np.zeros((4, 32, 2, 16), np.float32)},
    "gives `blocks.0.ffn.experts.down.weight` the shape [4, 32, 32]": {
        BLOCKS: np.zeros((4, 32, 1, 16), np.uint8),
        SCALES: np.zeros((4, 32, 1), np.uint8),
    },
}


@pytest.mark.parametrize("words", BROKEN, ids=lambda words: words[-40:])
def test_pairs_that_do_not_fit_are_named(words: str, tmp_path: Path) -> None:
    arrays = {name: array for name, array in (tensors() | BROKEN[words]).items() if array is not None}
    with pytest.raises(BadModelFile) as error:
        open_model(write_folder(tmp_path / "m", arrays))
    assert words in str(error.value)
    assert "model.safetensors" in str(error.value)


def test_a_gguf_file_converts_to_a_folder_in_mxfp4(tmp_path: Path) -> None:
    """Also from a folder; a block whose scale is larger than necessary gets the smallest one."""
    convert(write_folder(tmp_path / "m", tensors()), tmp_path / "m.gguf")
    for source in ("m.gguf", "m"):
        target = tmp_path / f"{source}-again"
        result = convert(tmp_path / source, target)
        assert result.formats["MXFP4"] == 8  # blocks and scales of two tensors in two layers
        before, after = open_model(tmp_path / source).weights, open_model(target).weights
        for name in before:
            np.testing.assert_array_equal(before[name], after[name], err_msg=name)
        config = json.loads((target / "config.json").read_text())
        assert config["quantization_config"]["quant_method"] == "mxfp4"
    plain = convert(tmp_path / "m.gguf", tmp_path / "plain", to="F32")
    assert set(plain.formats) == {"F32"}
    assert "quantization_config" not in json.loads((tmp_path / "plain" / "config.json").read_text())
