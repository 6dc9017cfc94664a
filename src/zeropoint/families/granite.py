"""Granite 3 and 4 (dense): Llama with four multipliers, of embedding, scores, residuals and logits.

Granite Team, IBM, "Granite 3.0 Language Models", 2024, section 2. Hugging Face: `GraniteConfig`. GGUF:
architecture `granite`, whose query and key rows are reordered as Llama's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.position import NoPosition, Rope
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import GgufMetadata, Kind, _granite
from zeropoint.families._experts import with_ffn
from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import (
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors
from zeropoint.families._parts import network_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `GraniteConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    plain = llama_like_from_hf(c, "granite", "all" if c.get_bool("attention_bias", default=False) else "none")
    return _granite.from_hf(_with_ffn_bias(plain, c.get_bool("mlp_bias", default=False)), c)


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `GraniteConfig` cannot express it."""
    config = llama_like_to_hf(blueprint, "granite", "GraniteForCausalLM") | {
        "attention_bias": blueprint.attention.bias == "all",
        "mlp_bias": network_of(blueprint).has_bias,
        **_granite.to_hf(blueprint),
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    plain = llama_like_from_gguf(model, "granite", is_interleaved=True, bias=_granite.biases(model))
    biased = _with_ffn_bias(plain, "blk.0.ffn_gate.bias" in model.tensors)
    return _granite.read_gguf(biased, model, "granite")


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `granite` cannot express it."""
    has_rope = blueprint.attention.position != NoPosition()
    unused = Rope(10000.0, blueprint.attention.d_head)
    metadata = llama_like_to_gguf(blueprint, "granite", None if has_rope else unused)
    metadata |= _granite.write_gguf(blueprint, "granite")
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = rename_tensors(blueprint, GGUF if kind == "gguf" else HF_LLAMA)
    return permute_rotary(names, blueprint, is_interleaved=kind == "gguf")


def _with_ffn_bias(plain: Blueprint, has_bias: bool) -> Blueprint:
    return with_ffn(plain, lambda _, ffn: replace(cast(Gated, ffn), has_bias=has_bias))
