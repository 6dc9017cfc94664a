"""Qwen 3: Llama with a norm over each query and key head before RoPE.

Yang et al., "Qwen3 Technical Report", 2025, section 2. Hugging Face: `Qwen3Config`. GGUF: architecture
`qwen3`, rotary pairs in halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.attention import Bias
from zeropoint.families import GgufMetadata
from zeropoint.families._gguf import gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import llama_like_from_gguf, llama_like_from_hf, llama_like_to_hf
from zeropoint.families._qwen import qwen_to_gguf, qwen_windows, qwen_windows_to_hf, tensor_map
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `Qwen3Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig({"head_dim": 128} | dict(config))  # transformers' default, independent of the width
    bias: Bias = "all" if c.get_bool("attention_bias", default=False) else "none"
    return llama_like_from_hf(c, "qwen3", bias, qwen_windows(c), has_query_key_norm=True)


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Qwen3Config` cannot express it."""
    config = llama_like_to_hf(blueprint, "qwen3", "Qwen3ForCausalLM") | qwen_windows_to_hf(blueprint)
    config["attention_bias"] = blueprint.attention.bias == "all"
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    return llama_like_from_gguf(model, "qwen3", has_query_key_norm=True)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `qwen3` cannot express it."""
    return qwen_to_gguf(blueprint, "qwen3", from_gguf)
