"""Llama 1, 2 and 3, and models of the same architecture: SmolLM2, TinyLlama.

Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023, section 2.2.
Hugging Face: `LlamaConfig`. GGUF: architecture `llama`, which Mistral's and Mixtral's files share, and whose
query and key rows are reordered so that rotary pairs are neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import (
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors
from zeropoint.families._round_trip import check_round_trip

__all__ = [
    "from_gguf",
    "from_hf",
    "gguf_tensors",
    "gguf_variant",
    "tensor_map",
    "to_gguf",
    "to_hf",
]

PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `LlamaConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    c.require("mlp_bias", False)
    return llama_like_from_hf(c, "llama", "all" if c.get_bool("attention_bias", default=False) else "none")


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `LlamaConfig` cannot express it."""
    config = llama_like_to_hf(blueprint, "llama", "LlamaForCausalLM")
    config["attention_bias"] = blueprint.attention.bias == "all"
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    window = model.get_int("llama.attention.sliding_window", 0, 2**24, default=0) or None
    has_bias = "blk.0.attn_q.bias" in model.tensors
    has_output_bias = "blk.0.attn_output.bias" in model.tensors
    blueprint = llama_like_from_gguf(
        model,
        "llama",
        is_interleaved=True,
        bias="all" if has_output_bias else "qkv" if has_bias else "none",
        window=window,
    )
    return blueprint if window is None else replace(blueprint, family="mistral")


def gguf_variant(model: GgufMetadata) -> str:
    """Mixtral's files name the architecture `llama` too, but have experts."""
    return "mixtral" if model.get_int("llama.expert_count", 0, 2**16, default=0) else "llama"


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `llama` cannot express it."""
    metadata = llama_like_to_gguf(blueprint, "llama")
    if window := blueprint.attention.window:
        metadata["llama.attention.sliding_window"] = window
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = rename_tensors(blueprint, GGUF if kind == "gguf" else HF_LLAMA)
    return permute_rotary(names, blueprint, is_interleaved=kind == "gguf")
