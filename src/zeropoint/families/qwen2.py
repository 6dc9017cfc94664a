"""Qwen 2 and 2.5: Llama with biases on query, key and value.

Yang et al., "Qwen2 Technical Report", 2024, section 2.2. Hugging Face: `Qwen2Config`. GGUF: architecture
`qwen2`, rotary pairs in halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Blueprint
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
    """The blueprint of a `Qwen2Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    return llama_like_from_hf(c, "qwen2", "qkv", qwen_windows(c))


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Qwen2Config` cannot express it."""
    config = llama_like_to_hf(blueprint, "qwen2", "Qwen2ForCausalLM") | qwen_windows_to_hf(blueprint)
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    return llama_like_from_gguf(model, "qwen2", bias="qkv")


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `qwen2` cannot express it."""
    return qwen_to_gguf(blueprint, "qwen2", from_gguf)
