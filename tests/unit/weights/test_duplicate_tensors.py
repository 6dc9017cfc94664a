"""Tensors stored twice are compared in full: a head that differs from the embedding is never dropped."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import safetensors.numpy

from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from zeropoint import families
from zeropoint.blueprint.tensors import parameters
from zeropoint.convert.convert import convert
from zeropoint.errors import BadModelFile
from zeropoint.weights import duplicate_tensors
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.gguf.writer import write_gguf
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.open_model import gguf_blueprint, open_model
from zeropoint.weights.packing import pack

BERT = {
    "model_type": "bert",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "vocab_size": 61,
}
T5 = {
    "model_type": "t5",
    "d_model": 32,
    "d_ff": 48,
    "d_kv": 8,
    "num_layers": 1,
    "num_heads": 4,
    "vocab_size": 61,
}
DUPLICATES = [
    pytest.param(CONFIGS["llama, tied"], "lm_head.weight", "model.embed_tokens.weight", id="llama"),
    pytest.param(CONFIGS["gpt2"], "lm_head.weight", "transformer.wte.weight", id="gpt2"),
    pytest.param(T5, "lm_head.weight", "shared.weight", id="t5-head"),
    pytest.param(T5, "encoder.embed_tokens.weight", "shared.weight", id="t5-encoder"),
    pytest.param(
        {**T5, "tie_word_embeddings": False}, "decoder.embed_tokens.weight", "shared.weight", id="t5-decoder"
    ),
    pytest.param(
        BERT, "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight", id="bert-head"
    ),
    pytest.param(BERT, "cls.predictions.decoder.bias", "cls.predictions.bias", id="bert-bias"),
]


@pytest.mark.parametrize(("config", "name", "other"), DUPLICATES)
def test_a_duplicate_tensor_in_a_folder_must_equal_its_original(
    config: dict[str, object], name: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicate_tensors, "_CHUNK_WEIGHTS", 100)  # a few rows at a time
    folder = tmp_path / "model"
    write_tiny_folder(folder, config)
    path = folder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors[name] = tensors[other].copy()
    safetensors.numpy.save_file(tensors, path)
    assert "embedding.weight" in open_model(folder).weights
    tensors[name].reshape(-1)[-1] += 1e-3
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(BadModelFile, match=rf"model.safetensors: tensor '{name}' differs from '{other}'"):
        open_model(folder)
    tensors[name] = tensors[other][:-1].copy()
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(BadModelFile, match=f"tensor '{name}' differs from '{other}'"):
        open_model(folder)


def test_a_duplicate_tensor_in_a_gguf_must_equal_its_original(tmp_path: Path) -> None:
    """A published GGUF with `output.weight` is untied; ours may declare a tied head in its blueprint."""
    config = CONFIGS["llama, tied"]
    blueprint = families.for_hf(config).from_hf(config)
    rng = np.random.default_rng(0)
    weights = {
        name: rng.standard_normal(shape).astype(np.float32) for name, shape in parameters(blueprint).items()
    }
    metadata = families.registry.load("zeropoint.families", "zeropoint").to_gguf(blueprint)
    for change in (0.0, 1.0):
        stored = weights | {"output.weight": weights["embedding.weight"] + np.float32(change)}
        lazy = {name: LazyTensor(array.shape, "F32", array.copy) for name, array in stored.items()}
        path = tmp_path / f"{change}.gguf"
        write_gguf(path, metadata, [pack(name, tensor, "F32") for name, tensor in lazy.items()])
        for open_path in (open_model, lambda path: gguf_blueprint(open_gguf(path))):
            if not change:
                open_path(path)
                continue
            with pytest.raises(BadModelFile, match=r"tensor 'output.weight' differs from 'embedding.weight'"):
                open_path(path)


def test_reading_rows_equals_slicing_the_tensor(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    array = rng.standard_normal((5, 3, 64)).astype(np.float32)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    form = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("a", gguf.quants.quantize(array, form), raw_dtype=form)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        step()
    writer.close()
    file = open_gguf(tmp_path / "a.gguf")
    np.testing.assert_array_equal(file.rows("a", 1, 4), file.array("a")[1:4])


def test_weights_without_a_counterpart_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_tiny_folder(folder, BERT)
    path = folder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    assert open_model(folder).left_out == ()
    pooler = {f"bert.pooler.dense.{name}": np.ones(2, np.float32) for name in ("weight", "bias")}
    positions = {"bert.embeddings.position_ids": np.arange(4, dtype=np.float32)}
    safetensors.numpy.save_file(tensors | pooler | positions, path)
    assert open_model(folder).left_out == tuple(sorted(pooler))
    notices: list[str] = []
    convert(folder, tmp_path / "copy", notify=notices.append)
    assert any("bert.pooler.dense.bias" in line and "left out" in line for line in notices)
