"""Mixtral 8x7B: Mistral without a window, with eight experts per block, two active per token.

Jiang et al., "Mixtral of Experts", 2024, section 2. Hugging Face: `MixtralConfig`, one tensor per expert.
GGUF files name the architecture `llama`, with `expert_count`, and stack the experts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.ffn import Gated, MixtureOfExperts
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import GgufMetadata, Kind, llama
from zeropoint.families._experts import (
    PLACEHOLDERS,
    expert_counts,
    expert_counts_from_hf,
    stack_experts,
    with_ffn,
)
from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import llama_like_from_hf, llama_like_to_gguf, llama_like_to_hf
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors
from zeropoint.families._parts import experts_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

GGUF_ARCHITECTURE = "llama"
PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
_HF = HF_LLAMA | {"blocks.{}.ffn.router": "model.layers.{}.block_sparse_moe.gate"}
_HF_EXPERTS = {"gate": "w1", "up": "w3", "down": "w2"}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `MixtralConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    windows = (c.get_int("sliding_window", default=None),) * c.get_int("num_hidden_layers", 1, 4096)
    blueprint = llama_like_from_hf(c, "mixtral", windows=windows, base=1e6, eps=1e-5)
    return _with_experts(blueprint, *expert_counts_from_hf(c, 8, 2))


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `MixtralConfig` cannot express it."""
    experts = experts_of(blueprint)
    config = llama_like_to_hf(blueprint, "mixtral", "MixtralForCausalLM") | {
        "sliding_window": blueprint.attention.window,
        "num_local_experts": experts.n_experts,
        "num_experts_per_tok": experts.n_active,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    return _with_experts(replace(llama.from_gguf(model), family="mixtral"), *expert_counts(model, "llama"))


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `llama` cannot express it."""
    experts = experts_of(blueprint)
    metadata = llama_like_to_gguf(blueprint, "llama") | {
        "llama.expert_count": experts.n_experts,
        "llama.expert_used_count": experts.n_active,
    }
    if window := blueprint.attention.window:
        metadata["llama.attention.sliding_window"] = window
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    if kind == "gguf":
        return permute_rotary(rename_tensors(blueprint, GGUF), blueprint, is_interleaved=True)
    sources = rename_tensors(blueprint, _HF | PLACEHOLDERS)
    sources = stack_experts(sources, blueprint, "model.layers.{}.block_sparse_moe.experts", _HF_EXPERTS)
    return permute_rotary(sources, blueprint, is_interleaved=False)


def _with_experts(blueprint: Blueprint, n_experts: int, n_active: int) -> Blueprint:
    # The feed-forward network of a Llama-like block is Gated.
    return with_ffn(blueprint, lambda _, ffn: MixtureOfExperts(n_experts, n_active, cast(Gated, ffn)))
