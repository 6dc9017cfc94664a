"""Mistral 7B: Llama with a sliding window.

Jiang et al., "Mistral 7B", 2023, section 2. Hugging Face: `MistralConfig`. GGUF files name the architecture
`llama`; llama.cpp does not apply the window, so it differs only beyond that many tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import llama_like_from_hf, llama_like_to_hf
from zeropoint.families._round_trip import check_round_trip
from zeropoint.families.llama import IGNORED, PREFIX, gguf_tensors, tensor_map, to_gguf

__all__ = [
    "IGNORED",
    "PREFIX",
    "from_hf",
    "gguf_tensors",
    "tensor_map",
    "to_gguf",
    "to_hf",
]


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `MistralConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    # Version 0.2 and later write null: no window. An absent key means transformers' default.
    window = c.get_int("sliding_window", default=None) if "sliding_window" in config else 4096
    return llama_like_from_hf(c, "mistral", windows=(window,) * c.get_int("num_hidden_layers", 1, 4096))


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `MistralConfig` cannot express it."""
    config = llama_like_to_hf(blueprint, "mistral", "MistralForCausalLM")
    config["sliding_window"] = blueprint.attention.window
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config
