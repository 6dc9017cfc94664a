"""Phi-3 and Phi-4-mini: Llama with fused query, key and value, fused gate and up projections, and LongRoPE.

Abdin et al., "Phi-3 Technical Report", 2024, section 2; Phi-4-mini rotates three quarters of each head and
ties its head ("Phi-4-Mini Technical Report", 2025, section 2). Hugging Face: `Phi3Config`. GGUF: architecture
`phi3`, rotary pairs in halves; llama.cpp does not apply the window, so it differs only beyond that many
tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from zeropoint.families._names import GGUF, HF_LLAMA, fuse_rows, permute_rotary, rename_tensors
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
_QKV = ("attention.query", "attention.key", "attention.value")
_GATE_UP = ("ffn.gate", "ffn.up")


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `Phi3Config`. Raises BadModelFile naming the key at fault."""
    defaults = {"max_position_embeddings": 4096, "original_max_position_embeddings": 4096}
    c = HfConfig(defaults | {key: _longrope(value) for key, value in config.items()})
    c.require("attention_bias", False)
    windows = (c.get_int("sliding_window", default=None),) * c.get_int("num_hidden_layers", 1, 4096)
    return llama_like_from_hf(c, "phi3", windows=windows, eps=1e-5)


def _longrope(value: Any) -> Any:
    """A value of a config in which LongRoPE has its name: early configs say "yarn", as transformers knows."""
    if isinstance(value, dict) and "long_factor" in value:
        return {k: "longrope" if k in ("type", "rope_type") and v == "yarn" else v for k, v in value.items()}
    return value


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Phi3Config` cannot express it."""
    config = llama_like_to_hf(blueprint, "phi3", "Phi3ForCausalLM")
    # Without this key transformers 5 assumes 4096 instead of n_ctx.
    config.setdefault("original_max_position_embeddings", blueprint.n_ctx)
    config["sliding_window"] = blueprint.attention.window
    config["pad_token_id"] = None  # transformers' default, 32000, may be outside the vocabulary
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    window = model.get_int("phi3.attention.sliding_window", 0, 2**24, default=0) or None
    return llama_like_from_gguf(model, "phi3", window=window)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `phi3` cannot express it."""
    metadata = llama_like_to_gguf(blueprint, "phi3")
    metadata["phi3.attention.sliding_window"] = blueprint.attention.window or 0
    metadata.setdefault("phi3.rope.scaling.original_context_length", blueprint.n_ctx)
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    sources = permute_rotary(
        rename_tensors(blueprint, GGUF if kind == "gguf" else HF_LLAMA), blueprint, is_interleaved=False
    )
    if kind == "gguf":
        sources = fuse_rows(sources, blueprint, _QKV, "blk.{}.attn_qkv")
        return fuse_rows(sources, blueprint, _GATE_UP, "blk.{}.ffn_up")
    sources = fuse_rows(sources, blueprint, _QKV, "model.layers.{}.self_attn.qkv_proj")
    return fuse_rows(sources, blueprint, _GATE_UP, "model.layers.{}.mlp.gate_up_proj")
