"""Every decoder family and every number format: the native engine against torch, from the same GGUF file.

The file is generated from a small config with random weights. Both engines read it, so the weights are equal
however they are stored, and in exact mode the logits agree up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.mirror.family_cases import CASES
from tests.mirror.test_torch_families import randomized
from zeropoint import families, formats
from zeropoint.blueprint import Blueprint
from zeropoint.convert.convert import convert
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput
from zeropoint.models.build import build, load, weights_of
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.gguf.writer import typed_metadata, write_gguf
from zeropoint.weights.mapping import LazyTensor, to_stored
from zeropoint.weights.open_model import gguf_blueprint, open_model
from zeropoint.weights.packing import has_whole_blocks, pack

TOLERANCE = 2e-4  # of logits between about -5 and 5
T = 20
N_CTX = 24  # LongRoPE chooses its factors by the context length here, but by the sequence length in torch
# Variants that GGUF cannot express, so that writing them is an error.
INEXPRESSIBLE = {
    "gpt2-relu, untied",
    "llama-dynamic",
    "qwen2-window",
    "gemma2-no caps",
    "qwen3_moe-probabilities as they are",
    "qwen3_moe-some blocks dense",
    "gpt_oss-yarn, whole pairs",
    "smollm3-listed, window, tied",
    "lfm2-biased, wide kernel",
    "qwen3_5_text-grouped heads, tied",
    "ministral3-window, tied",
    "olmo3-two bases",
}
ALL = {f"{family}-{name}": (family, c) for family, configs in CASES.items() for name, c in configs.items()}
PAIRS = [pytest.param(*pair, id=name) for name, pair in ALL.items() if name not in INEXPRESSIBLE]
WIDE = {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2}


def blueprint_of_config(family: str, config: dict[str, Any]) -> Blueprint:
    if family in ("gemma2", "gemma3_text"):
        config = {**config, "query_pre_attn_scalar": 16}  # GGUF supports only the scale derived from d_head
    if family == "gpt_oss":
        config = {**config, "swiglu_limit": 7.0}  # the only limit in GGUF
    hf_config = transformers.AutoConfig.for_model(family, **config).to_dict()
    return families.for_hf(hf_config).from_hf(hf_config)


def write_model(
    path: Path, blueprint: Blueprint, form: str = "F32", more: Mapping[str, Any] | None = None
) -> None:
    """Write a GGUF file with random weights; tensors that the format does not fit are F32.

    more: metadata besides the blueprint's.
    """
    weights = weights_of(randomized(build(blueprint)))
    family = families.for_blueprint(blueprint)
    ours = {name: LazyTensor(w.shape, "F32", w.copy) for name, w in weights.items()}
    stored = to_stored(ours, family.tensor_map(blueprint, "gguf"))
    for name, values in family.gguf_tensors(blueprint).items():
        array = np.array(values, np.float32)
        stored[name] = LazyTensor(array.shape, "F32", array.copy)
    tensors = [
        pack(
            name, tensor, form if _is_matrix(name, tensor) and has_whole_blocks(tensor.shape, form) else "F32"
        )
        for name, tensor in stored.items()
        if name != "position_embd.weight"
    ]
    tensors += [pack(name, t, "F32") for name, t in stored.items() if name == "position_embd.weight"]
    write_gguf(path, {**family.to_gguf(blueprint), **(more or {})}, tensors)


def _is_matrix(name: str, tensor: LazyTensor) -> bool:
    """Whether a tensor has the format of the matrices; experts' biases are stacked, and routers stay F32."""
    return len(tensor.shape) > 1 and not name.endswith((".bias", "ffn_gate_inp.weight"))


def both_logits(path: Path, is_exact: bool = True, isa: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(native, torch) logits [T, V] of the same ids from the same file."""
    opened = open_model(path)
    file, blueprint = open_gguf(path), opened.blueprint
    module = build(blueprint, seed=None).eval()
    load(module, opened.weights)
    ids = np.random.default_rng(3).integers(0, blueprint.n_vocab, T).tolist()
    engine = NativeEngine(file, blueprint, EngineOptions(context=N_CTX, threads=2, isa=isa, exact=is_exact))
    stepper = engine.stepper()
    native = np.concatenate([stepper.extend(ids[:7]), stepper.extend(ids[7:8]), stepper.extend(ids[8:])])
    engine.close()
    with torch.no_grad():
        return native, module(torch.tensor([ids]))[0].numpy()


@pytest.mark.heavy
@pytest.mark.parametrize(("family", "config"), PAIRS)
def test_native_logits_equal_torchs(family: str, config: dict[str, Any], tmp_path: Path) -> None:
    write_model(tmp_path / "m.gguf", blueprint_of_config(family, config))
    native, reference = both_logits(tmp_path / "m.gguf")
    assert reference.std() > 0.1
    np.testing.assert_allclose(native, reference, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", sorted(INEXPRESSIBLE))
def test_a_blueprint_that_gguf_cannot_express_is_rejected(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="GGUF of the family"):
        write_model(tmp_path / "m.gguf", blueprint_of_config(*ALL[name]))


def write_legacy(path: Path, legacy_path: Path) -> None:
    """Rewrite a model in the legacy layout: phi-2's q, k and v fused, one tensor per expert."""
    file = open_gguf(path)
    arrays = {name: file.array(name) for name in file.tensors}
    for name in list(arrays):
        block, _, part = name.rpartition(".attn_q.")
        if block and file.get_str("general.architecture") == "phi2":
            qkv = [arrays.pop(f"{block}.attn_{letter}.{part}") for letter in "qkv"]
            arrays[f"{block}.attn_qkv.{part}"] = np.concatenate(qkv)
        if name.endswith("_exps.weight"):
            module = name.removesuffix("_exps.weight")
            arrays |= {f"{module}.{e}.weight": expert for e, expert in enumerate(arrays.pop(name))}
    lazy = {name: LazyTensor(array.shape, "F32", array.copy) for name, array in arrays.items()}
    write_gguf(
        legacy_path, typed_metadata(file), [pack(name, tensor, "F32") for name, tensor in lazy.items()]
    )


@pytest.mark.parametrize(
    ("family", "expected_tensor"), [("phi", "blk.0.attn_qkv.bias"), ("mixtral", "blk.0.ffn_gate.0.weight")]
)
def test_legacy_layouts_are_read(family: str, expected_tensor: str, tmp_path: Path) -> None:
    config = next(iter(CASES[family].values()))
    write_model(tmp_path / "m.gguf", blueprint_of_config(family, config))
    write_legacy(tmp_path / "m.gguf", tmp_path / "legacy.gguf")
    assert expected_tensor in open_gguf(tmp_path / "legacy.gguf").tensors
    native, reference = both_logits(tmp_path / "m.gguf")
    for logits in both_logits(tmp_path / "legacy.gguf"):
        np.testing.assert_allclose(logits, reference, atol=TOLERANCE, rtol=0)
    np.testing.assert_array_equal(native, both_logits(tmp_path / "legacy.gguf")[0])
    assert gguf_blueprint(open_gguf(tmp_path / "legacy.gguf")) == gguf_blueprint(
        open_gguf(tmp_path / "m.gguf")
    )
    conversion = convert(tmp_path / "legacy.gguf", tmp_path / "half.gguf", to="F16")
    assert conversion.formats["F16"] > conversion.formats["F32"] / 2


@pytest.mark.heavy
@pytest.mark.parametrize("form", formats.writable())
def test_native_supports_every_format(form: str, tmp_path: Path) -> None:
    blueprint = blueprint_of_config("llama", {**CASES["llama"]["grouped"], **WIDE})
    write_model(tmp_path / "m.gguf", blueprint, form)
    assert form in {tensor.format for tensor in open_gguf(tmp_path / "m.gguf").tensors.values()}
    native, reference = both_logits(tmp_path / "m.gguf")
    np.testing.assert_allclose(native, reference, atol=TOLERANCE, rtol=0)
    fast, _ = both_logits(tmp_path / "m.gguf", is_exact=False)
    assert np.sqrt(np.mean((fast - reference) ** 2)) < 0.05 * reference.std()


@pytest.mark.heavy
@pytest.mark.parametrize("form", ["MXFP4", "Q8_0", "Q4_K"])
def test_native_runs_quantized_experts(form: str, tmp_path: Path) -> None:
    """gpt-oss's experts with their biases, as in published files."""
    config = {**CASES["gpt_oss"]["yarn"], **WIDE, "head_dim": 64}
    write_model(tmp_path / "m.gguf", blueprint_of_config("gpt_oss", config), form)
    assert open_gguf(tmp_path / "m.gguf").tensors["blk.0.ffn_up_exps.weight"].format == form
    native, reference = both_logits(tmp_path / "m.gguf")
    np.testing.assert_allclose(native, reference, atol=TOLERANCE, rtol=0)
    fast, _ = both_logits(tmp_path / "m.gguf", is_exact=False)
    # Rounding changes the choice of experts for a few tokens, which random weights scarcely prefer.
    rms_T = np.sqrt(np.mean((fast - reference) ** 2, axis=-1))
    assert np.median(rms_T) < 0.05 * reference.std()


@pytest.mark.heavy
@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("phi3", "phi4, beyond"),
        ("granite", "untied, biased"),
        ("olmo3", "yarn in full blocks"),
        ("qwen3_moe", "grouped"),
        ("gpt_oss", "yarn"),
    ],
)
def test_chunks_and_rollback_never_change_a_bit(
    family: str, name: str, is_exact: bool, tmp_path: Path
) -> None:
    write_model(tmp_path / "m.gguf", blueprint_of_config(family, CASES[family][name]))
    file = open_gguf(tmp_path / "m.gguf")
    blueprint = gguf_blueprint(file)
    ids = np.random.default_rng(3).integers(0, blueprint.n_vocab, 60).tolist()
    engine = NativeEngine(file, blueprint, EngineOptions(context=64, threads=2, exact=is_exact))
    at_once = engine.stepper().extend(ids)
    for size in (1, 7, 40):
        stepper = engine.stepper()
        chunks = [stepper.extend(ids[i : i + size]) for i in range(0, len(ids), size)]
        np.testing.assert_array_equal(np.concatenate(chunks), at_once)
    stepper.rollback(20)
    np.testing.assert_array_equal(stepper.extend(ids[40:]), at_once[40:])
    engine.close()
