"""The conventions of a textbook's models hold for ours: GPT-2, Llama 3.2, Qwen3 and Gemma.

The models of "Build a Large Language Model (From Scratch)" (Raschka, 2024) and its repository fix details
that published weights depend on: what a norm divides by, which GELU, which columns RoPE rotates, and that
decoding with a KV cache gives the tokens of decoding without one. Each is computed here from its formula.
`test_torch_families.py` compares complete models with transformers.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.mirror.family_cases import CASES
from tests.mirror.test_native_families import N_CTX, blueprint_of_config, write_model
from zeropoint.blueprint import catalog
from zeropoint.blueprint.parts import norm as norm_specs
from zeropoint.blueprint.parts.position import Rope
from zeropoint.engine.contract import Request
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.layers.ffn.activation import ACTIVATIONS
from zeropoint.layers.norm import norm
from zeropoint.layers.position.rope import rotary
from zeropoint.models.build import build, load
from zeropoint.sampling.params import SamplingParams
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import open_model

D, K = 32, 16
FAMILIES = {
    "gpt2": CASES["gpt2"]["plain"],
    "llama": CASES["llama"]["llama3"],
    "qwen3": CASES["qwen3"]["grouped, tied"],
    "gemma2": CASES["gemma2"]["plain"],
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)


def test_layer_norm_divides_by_the_biased_variance_with_eps_inside_the_root() -> None:
    layer, x = norm(norm_specs.LayerNorm(1e-5), D), torch.randn(2, 5, D)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    variance = x.var(-1, keepdim=True, unbiased=False)
    expected = (x - x.mean(-1, keepdim=True)) / torch.sqrt(variance + 1e-5) * layer.weight + layer.bias
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("is_offset", [False, True])
def test_rms_norm_multiplies_by_the_weight_and_gemmas_by_one_more(is_offset: bool) -> None:
    layer, x = norm(norm_specs.RMSNorm(1e-6, is_offset), D), torch.randn(2, 5, D)
    torch.nn.init.normal_(layer.weight)
    normalized = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(layer(x), normalized * (layer.weight + is_offset))


def test_gpt2s_gelu_is_the_tanh_approximation() -> None:
    x = torch.linspace(-5, 5, 101)
    expected = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    torch.testing.assert_close(ACTIVATIONS["gelu_tanh"](x), expected)
    assert (ACTIVATIONS["gelu"](x) - expected).abs().max() > 1e-4  # the exact one differs


def rotated_halves(x_TK: Tensor, frequencies: Tensor) -> Tensor:
    """Columns i and i + K/2 are a pair."""
    angles = torch.arange(len(x_TK))[:, None] * frequencies
    angles = torch.cat([angles, angles], -1)
    first, second = x_TK.chunk(2, -1)
    return x_TK * angles.cos() + torch.cat([-second, first], -1) * angles.sin()


def test_rope_rotates_the_two_halves_of_a_head() -> None:
    x = torch.randn(N_CTX, K)
    frequencies = 500_000.0 ** (-torch.arange(0, K, 2) / K)
    ours = rotary(Rope(500_000.0, K))(torch.arange(N_CTX)[None])(x[None, None])[0, 0]
    torch.testing.assert_close(ours, rotated_halves(x, frequencies))


def test_the_presets_have_the_published_constants() -> None:
    gpt2 = catalog.load("gpt2")
    block = gpt2.blocks[0]
    assert block.norm == gpt2.final_norm == norm_specs.LayerNorm(1e-5)
    assert (block.ffn.activation, block.attention.bias) == ("gelu_tanh", "all")  # type: ignore[union-attr]
    assert gpt2.head.is_tied


def greedy_without_cache(model: torch.nn.Module, ids: list[int], n_new: int) -> list[int]:
    """The whole text is read again for every token."""
    ids = list(ids)
    for _ in range(n_new):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids


@pytest.mark.heavy
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_decoding_is_the_same_with_a_cache_and_in_the_native_engine(
    family: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.gguf"
    write_model(path, blueprint_of_config(family, FAMILIES[family]))
    opened, prompt, n_new = open_model(path), [5, 17, 42, 8], 16
    model = build(opened.blueprint, seed=None).eval()
    load(model, opened.weights)
    expected = greedy_without_cache(model, prompt, n_new)

    kv_cache, cached, ids = model.new_cache(N_CTX), list(prompt), torch.tensor([prompt])
    for _ in range(n_new):
        with torch.no_grad():
            cached.append(int(model(ids, kv_cache)[0, -1].argmax()))
        ids = torch.tensor([cached[-1:]])
    assert cached == expected

    engine = NativeEngine(
        open_gguf(path), opened.blueprint, EngineOptions(context=N_CTX, threads=1, exact=True)
    )
    engine.submit(Request(prompt, SamplingParams.of(temperature=0.0, max_tokens=n_new)))
    events = [event for _ in range(n_new) for event in engine.step()]
    engine.close()
    assert [*prompt, *(event.token for event in events)] == expected
