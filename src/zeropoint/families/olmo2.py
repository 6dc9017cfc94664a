"""OLMo 2: Llama with norms after attention and feed-forward network instead of before, and of queries and
keys.

OLMo Team, "2 OLMo 2 Furious", 2025, section 3. Hugging Face: `Olmo2Config`. GGUF: architecture `olmo2`, which
OLMo 3 shares; rotary pairs in halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.attention import Bias
from zeropoint.families import GgufMetadata
from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import (
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._olmo import tensor_map, with_olmo_norms
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "gguf_variant", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of an `Olmo2Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    bias: Bias = "all" if c.get_bool("attention_bias", default=False) else "none"
    return with_olmo_norms(llama_like_from_hf(c, "olmo2", bias, has_query_key_norm=True, eps=1e-5))


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if an `Olmo2Config` cannot express it."""
    config = llama_like_to_hf(blueprint, "olmo2", "Olmo2ForCausalLM")
    config["attention_bias"] = blueprint.attention.bias == "all"
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    return with_olmo_norms(llama_like_from_gguf(model, "olmo2", has_query_key_norm=True))


def gguf_variant(model: GgufMetadata) -> str:
    """OLMo 3's files name the architecture `olmo2` too, but have a sliding window."""
    window = model.get_int("olmo2.attention.sliding_window", 0, 2**24, default=0)
    return "olmo3" if window else "olmo2"


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `olmo2` cannot express it."""
    metadata = llama_like_to_gguf(blueprint, "olmo2")
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata
