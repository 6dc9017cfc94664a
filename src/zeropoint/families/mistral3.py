"""Ministral 3: Mistral with YaRN, and queries that grow with the position.

Mistral AI, "Ministral 3", 2026. Hugging Face: `Ministral3Config`, the text part of a multimodal
`Mistral3Config`. GGUF: architecture `mistral3`, rotary pairs are neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.attention import QueryScale
from zeropoint.blueprint.parts.position import Rope, YarnScaling
from zeropoint.families import GgufMetadata
from zeropoint.families._gguf import InMemoryGguf, get_float, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import (
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._parts import rope_of
from zeropoint.families._round_trip import check_round_trip
from zeropoint.families.llama import tensor_map

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

HF_MODEL_TYPE = "ministral3"
PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
_ORIGINAL = "mistral3.rope.scaling.original_context_length"
_DEFAULTS = {  # of transformers
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 262144,
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 1e6,
        "factor": 16.0,
        "original_max_position_embeddings": 16384,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "llama_4_scaling_beta": 0.1,
    },
}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `Ministral3Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(_DEFAULTS | {key: value for key, value in config.items() if value is not None})
    windows = (c.get_int("sliding_window", default=None),) * c.get_int("num_hidden_layers", 1, 4096)
    plain = llama_like_from_hf(c, "mistral3", windows=windows, base=1e6, eps=1e-5)
    rope = HfConfig(c.section("rope_parameters"), f"{c.where}, rope_parameters")
    beta = rope.get_float("llama_4_scaling_beta", default=0.0)
    if beta < 0:
        raise rope.error("llama_4_scaling_beta", "a number of at least 0")
    n_original = rope.get_int("original_max_position_embeddings", default=plain.n_ctx)
    return _with_query_scale(plain, QueryScale(beta, n_original) if beta else None)


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Ministral3Config` cannot express it."""
    config = llama_like_to_hf(blueprint, "ministral3", "Ministral3ForCausalLM")
    config["sliding_window"] = blueprint.attention.window
    scaling = config.pop("rope_scaling", {"rope_type": "default"})
    parameters = {"rope_theta": config.pop("rope_theta"), **scaling}
    if _cancels_temperature(rope_of(blueprint)):
        del parameters["attention_factor"]
        parameters |= {"mscale": 1.0, "mscale_all_dim": 1.0}
    scale = blueprint.attention.query_scale
    parameters["llama_4_scaling_beta"] = 0.0 if scale is None else scale.beta
    if scale is not None:
        parameters["original_max_position_embeddings"] = scale.n_positions
    config["rope_parameters"] = parameters
    config["pad_token_id"] = None  # transformers' default, 11, may be outside the vocabulary
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    plain = llama_like_from_gguf(model, "mistral3", is_interleaved=True)
    beta = get_float(model, "mistral3.attention.temperature_scale", 0.0, 1e6, default=0.0)
    n_original = model.get_int(_ORIGINAL, 1, 2**24, default=plain.n_ctx)
    return _with_query_scale(plain, QueryScale(beta, n_original) if beta else None)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `mistral3` cannot express it."""
    metadata = llama_like_to_gguf(blueprint, "mistral3")
    if _cancels_temperature(rope_of(blueprint)):
        del metadata["mistral3.rope.scaling.attn_factor"]
        metadata["mistral3.rope.scaling.yarn_log_multiplier"] = 1.0
    if (scale := blueprint.attention.query_scale) is not None:
        metadata["mistral3.attention.temperature_scale"] = scale.beta
        metadata.setdefault(_ORIGINAL, scale.n_positions)
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def _with_query_scale(blueprint: Blueprint, scale: QueryScale | None) -> Blueprint:
    blocks = tuple(block.with_attention(query_scale=scale) for block in blueprint.blocks)
    return replace(blueprint, blocks=blocks)


def _cancels_temperature(rope: Rope) -> bool:
    """Whether YaRN's temperature is cancelled, which both formats say in their own way."""
    return isinstance(rope.scaling, YarnScaling) and rope.scaling.attention_factor == 1.0
