"""Families against llama.cpp: the logits of a generated GGUF file, read by llama.cpp and by us in torch.

Left out is what llama.cpp computes in another way than the model was trained: it ignores Phi-3's window, and
rounds the limits of YaRN, which gpt-oss does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.mirror.family_cases import CASES
from tests.mirror.test_native_families import blueprint_of_config, write_model
from tests.support.llama_cpp import llama_cpp_logits
from zeropoint.layers.ffn.activation import ACTIVATIONS
from zeropoint.models.build import build, load
from zeropoint.weights.open_model import open_model

N_CTX = 64  # of llama_cpp_logits
COMPARED = {
    "phi3": ("full", "longrope, beyond", "longrope, within", "phi4, beyond", "phi4, within"),
    "granite": ("tied", "untied, biased"),
    "olmo2": ("grouped", "full, yarn"),
    "olmo3": ("plain", "yarn in full blocks", "another pattern"),
    "qwen3_moe": ("grouped",),
    "gemma3_text": ("plain", "window", "other pattern, scaled"),
    "smollm3": ("every fourth",),
    "ministral3": ("within", "beyond"),
    "gemma4_text": ("shared, double", "window, capped", "own, even heads"),
    "gpt_oss": ("yarn, limits at whole pairs", "plain, another pattern"),
}
PAIRS = [
    pytest.param(family, CASES[family][name], id=f"{family}-{name}")
    for family, names in COMPARED.items()
    for name in names
]


@pytest.mark.heavy
@pytest.mark.process
@pytest.mark.parametrize(("family", "config"), PAIRS)
def test_logits_equal_llama_cpps(
    family: str,
    config: dict[str, Any],
    llama_cpp: str,
    tmp_path: Path,
    record_property: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "m.gguf"
    write_model(path, blueprint_of_config(family, config), more={"tokenizer.ggml.model": "none"})
    # llama.cpp looks GELU up in a table of arguments and values in half precision.
    gelu = ACTIVATIONS["gelu_tanh"]
    monkeypatch.setitem(ACTIVATIONS, "gelu_tanh", lambda x: gelu(x.half().float()).half().float())
    opened = open_model(path)
    module = build(opened.blueprint, seed=None).eval()
    load(module, opened.weights)
    ids = np.random.default_rng(3).integers(0, opened.blueprint.n_vocab, 20).tolist()
    with torch.no_grad():
        ours = module(torch.tensor([ids]), module.new_cache(N_CTX))[0].numpy()
    theirs = llama_cpp_logits(llama_cpp, path, ids)
    record_property("gap", float(np.abs(ours - theirs).max()))
    assert ours.std() > 0.1
    if "gemma" in family:  # a value at the border of two entries of the table changes all that follows
        assert np.sqrt(np.mean((ours - theirs) ** 2)) < 2e-3 * ours.std()
    else:
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)
