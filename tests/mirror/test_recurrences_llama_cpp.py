"""Models with recurrences against llama.cpp, from the same GGUF file with random weights.

llama.cpp computes sums in another order and some functions in half precision, so logits of a magnitude of 5
agree within about 0.01 only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.mirror.test_native_families import both_logits
from tests.mirror.test_torch_families import CASES, randomized
from tests.support.llama_cpp import llama_cpp_logits
from zeropoint import families
from zeropoint.models.build import build, load, weights_of
from zeropoint.weights.conversion import gguf_tensors
from zeropoint.weights.gguf.writer import write_gguf
from zeropoint.weights.mapping import LazyTensor, Weights
from zeropoint.weights.open_model import OpenedModel, open_model

TOLERANCE = 0.02
T = 40
_RWKV7 = {
    "model_type": "rwkv7",
    "hidden_size": 128,
    "head_dim": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "decay_low_rank_dim": 12,
    "a_low_rank_dim": 10,
    "v_low_rank_dim": 8,
    "gate_low_rank_dim": 14,
    "vocab_size": 96,
}
_MAMBA2 = {**CASES["mamba2"]["two groups"], "model_type": "mamba2"}
_GRANITE = {**CASES["granitemoehybrid"]["dense"], "model_type": "granitemoehybrid"}
CONFIGS: dict[str, dict[str, Any]] = {
    "mamba2": {**_MAMBA2, "use_conv_bias": True},
    "mamba2, tied": {**_MAMBA2, "n_groups": 1, "conv_kernel": 4, "tie_word_embeddings": True},
    "granitehybrid": _GRANITE,
    "granitehybrid, experts": {
        **_GRANITE,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "intermediate_size": 24,
    },
    "granite": {**CASES["granitemoehybrid"]["attention alone"], "model_type": "granitemoehybrid"},
    "rwkv7": _RWKV7,
}


def write_model(path: Path, config: dict[str, Any]) -> None:
    """A GGUF file with random weights and no tokenizer, as `zeropoint convert` writes it."""
    blueprint = families.for_hf(config).from_hf(config)
    family = families.for_blueprint(blueprint)
    weights = weights_of(randomized(build(blueprint)))
    lazy = Weights({name: LazyTensor(w.shape, "F32", w.copy) for name, w in weights.items()})
    opened = OpenedModel(blueprint, lazy, family, None, {})  # type: ignore[arg-type]
    metadata = family.to_gguf(blueprint) | {"tokenizer.ggml.model": "none"}
    write_gguf(path, metadata, gguf_tensors(opened, "F32", print))


@pytest.mark.heavy
@pytest.mark.parametrize("name", CONFIGS)
def test_logits_equal_llama_cpps(name: str, llama_cpp: str, tmp_path: Path, record_property: Any) -> None:
    path = tmp_path / "m.gguf"
    write_model(path, CONFIGS[name])
    opened = open_model(path)
    module = build(opened.blueprint, seed=None).eval()
    load(module, opened.weights)
    ids = np.random.default_rng(3).integers(3, opened.blueprint.n_vocab, T).tolist()
    with torch.no_grad():
        ours = module(torch.tensor([ids]))[0].numpy()
    assert ours.std() > 0.1
    gaps = [float(np.abs(llama_cpp_logits(llama_cpp, path, ids, n) - ours).max()) for n in (64, 1)]
    record_property("gaps", gaps)
    assert max(gaps) < TOLERANCE, gaps


@pytest.mark.parametrize("name", CONFIGS)
def test_native_logits_equal_torchs(name: str, tmp_path: Path, record_property: Any) -> None:
    write_model(tmp_path / "m.gguf", CONFIGS[name])
    native, reference = both_logits(tmp_path / "m.gguf")
    record_property("gap", float(np.abs(native - reference).max()))
    np.testing.assert_allclose(native, reference, atol=2e-4, rtol=0)
    fast, _ = both_logits(tmp_path / "m.gguf", is_exact=False)
    assert np.sqrt(np.mean((fast - reference) ** 2)) < 0.05 * reference.std()
