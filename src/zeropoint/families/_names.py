"""Tensor names shared by several families, and the differences between stored layouts.

A table maps our module names to stored ones; `{}` is the block number. The suffixes `.weight` and `.bias` are
the same on both sides; where they are not, the table has both complete tensor names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.blueprint.sources import Offset, Permuted, Rename, Rows, TensorSource
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput

__all__ = ["GGUF", "HF_LLAMA", "fuse_rows", "offset_norms", "permute_rotary", "rename_tensors"]

# TENSOR_NAMES of the gguf package's constants.py.
GGUF = {
    "embedding": "token_embd",
    "embedding.position": "position_embd",
    "final_norm": "output_norm",
    "head": "output",
    "blocks.{}.attention_norm": "blk.{}.attn_norm",
    "blocks.{}.attention.query": "blk.{}.attn_q",
    "blocks.{}.attention.key": "blk.{}.attn_k",
    "blocks.{}.attention.value": "blk.{}.attn_v",
    "blocks.{}.attention.query_norm": "blk.{}.attn_q_norm",
    "blocks.{}.attention.key_norm": "blk.{}.attn_k_norm",
    "blocks.{}.attention.sink": "blk.{}.attn_sinks",
    "blocks.{}.attention.output": "blk.{}.attn_output",
    "blocks.{}.attention_output_norm": "blk.{}.post_attention_norm",
    "blocks.{}.ffn_norm": "blk.{}.ffn_norm",
    "blocks.{}.ffn.gate": "blk.{}.ffn_gate",
    "blocks.{}.ffn.up": "blk.{}.ffn_up",
    "blocks.{}.ffn.down": "blk.{}.ffn_down",
    "blocks.{}.ffn.router": "blk.{}.ffn_gate_inp",
    "blocks.{}.ffn.experts.gate": "blk.{}.ffn_gate_exps",
    "blocks.{}.ffn.experts.up": "blk.{}.ffn_up_exps",
    "blocks.{}.ffn.experts.down": "blk.{}.ffn_down_exps",
    "blocks.{}.ffn.shared.gate": "blk.{}.ffn_gate_shexp",
    "blocks.{}.ffn.shared.up": "blk.{}.ffn_up_shexp",
    "blocks.{}.ffn.shared.down": "blk.{}.ffn_down_shexp",
    "blocks.{}.ffn_output_norm": "blk.{}.post_ffw_norm",
}

# transformers' models/llama; Mistral, Qwen, Phi-3, Gemma and Mixtral use most of these names.
HF_LLAMA = {
    "embedding": "model.embed_tokens",
    "final_norm": "model.norm",
    "head": "lm_head",
    "blocks.{}.attention_norm": "model.layers.{}.input_layernorm",
    "blocks.{}.attention.query": "model.layers.{}.self_attn.q_proj",
    "blocks.{}.attention.key": "model.layers.{}.self_attn.k_proj",
    "blocks.{}.attention.value": "model.layers.{}.self_attn.v_proj",
    "blocks.{}.attention.query_norm": "model.layers.{}.self_attn.q_norm",
    "blocks.{}.attention.key_norm": "model.layers.{}.self_attn.k_norm",
    "blocks.{}.attention.output": "model.layers.{}.self_attn.o_proj",
    "blocks.{}.ffn_norm": "model.layers.{}.post_attention_layernorm",
    "blocks.{}.ffn.gate": "model.layers.{}.mlp.gate_proj",
    "blocks.{}.ffn.up": "model.layers.{}.mlp.up_proj",
    "blocks.{}.ffn.down": "model.layers.{}.mlp.down_proj",
}

_ONE_HEAD = {"query_norm": 1, "key_norm": 1}  # all heads share the weight of a norm of single heads
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
Sources = dict[str, TensorSource]


def rename_tensors(blueprint: Blueprint, table: Mapping[str, str]) -> Sources:
    """Map all our tensors by a table. Raises BadInput for a tensor whose module is not in the table."""
    sources: Sources = {}
    for ours in parameters(blueprint):
        number = _NUMBER.search(ours)
        i = number.group() if number else ""
        pattern = _NUMBER.sub("{}", ours, count=1)
        if pattern in table:
            sources[ours] = Rename(table[pattern].format(i))
            continue
        module, _, kind = pattern.rpartition(".")
        stored_module = table.get(module)
        if stored_module is None:
            raise BadInput(f"the family {blueprint.family} has no tensor for {ours}; change the blueprint")
        sources[ours] = Rename(f"{stored_module.format(i)}.{kind}")
    return sources


def fuse_rows(sources: Sources, blueprint: Blueprint, parts: Iterable[str], stored_module: str) -> Sources:
    """`sources` with `parts` of each block stored as consecutive rows of one module, `stored_module`."""
    shapes = parameters(blueprint)
    updated: Sources = {}
    for i in range(blueprint.n_layers):
        for kind in ("weight", "bias"):
            begin = 0
            for part in parts:
                ours = f"blocks.{i}.{part}.{kind}"
                if ours not in shapes:
                    continue
                end = begin + shapes[ours][0]
                updated[ours] = Rows(Rename(f"{stored_module.format(i)}.{kind}"), begin, end)
                begin = end
    return sources | updated


def permute_rotary(sources: Sources, blueprint: Blueprint, is_interleaved: bool) -> Sources:
    """`sources` with query and key rows reordered if the file's rotary layout differs from the blueprint's.

    is_interleaved: whether rotary pairs are neighbours in the file.
    """
    updated: Sources = {}
    for i, block in enumerate(blueprint.blocks):
        a = block.attention
        if a is None or not isinstance(a.position, Rope) or a.position.is_interleaved == is_interleaved:
            continue
        if a.position.n_rotated != a.d_head:
            raise BadInput(
                f"blocks[{i}]: the rotary layout of a partly rotated head cannot be converted, and n_rotated "
                f"is {a.position.n_rotated} of {a.d_head}; set is_interleaved to {is_interleaved}"
            )
        heads = {"query": a.n_heads, "key": a.n_kv_heads}
        is_joint = a.has_joint_query_key_norm
        heads |= {"query_norm": a.n_heads, "key_norm": a.n_kv_heads} if is_joint else _ONE_HEAD
        for part, n_heads in heads.items():
            for kind in ("weight", "bias"):
                ours = f"blocks.{i}.attention.{part}.{kind}"
                if ours in sources:
                    updated[ours] = Permuted(sources[ours], n_heads, a.position.is_interleaved)
    return sources | updated


def offset_norms(sources: Sources, blueprint: Blueprint, is_offset: bool) -> Sources:
    """`sources` with the norms converted if the file stores gain - 1 (is_offset) and ours the gain; the norm
    within a recurrence is stored as the gain everywhere.
    """
    norm = blueprint.final_norm
    if not isinstance(norm, RMSNorm) or norm.is_offset == is_offset:
        return sources
    add = 1.0 if is_offset else -1.0
    return {
        ours: Offset(source, add)
        if ours.endswith("norm.weight") and not ours.endswith("recurrence.norm.weight")
        else source
        for ours, source in sources.items()
    }
