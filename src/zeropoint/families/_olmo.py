"""Shared by OLMo 2 and 3: norms of what each sublayer adds, and of all query heads together."""

from __future__ import annotations

from dataclasses import replace

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import Kind
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors

__all__ = ["tensor_map", "with_olmo_norms"]

_HF = HF_LLAMA | {
    "blocks.{}.attention_output_norm": "model.layers.{}.post_attention_layernorm",
    "blocks.{}.ffn_output_norm": "model.layers.{}.post_feedforward_layernorm",
}


def with_olmo_norms(plain: Blueprint) -> Blueprint:
    """A Llama-like blueprint with query and key norms, with the norms where OLMo has them."""
    blocks = (block.with_attention(has_joint_query_key_norm=True) for block in plain.blocks)
    return replace(plain, blocks=tuple(replace(block, placement="output") for block in blocks))


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = rename_tensors(blueprint, GGUF if kind == "gguf" else _HF)
    return permute_rotary(names, blueprint, is_interleaved=False)
