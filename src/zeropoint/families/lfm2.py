"""LFM2 and LFM2.5: gated short convolutions, with grouped-query attention in a third of the blocks.

Liquid AI, "LFM2 Technical Report", 2025. Hugging Face: `Lfm2Config`, whose feed-forward width may be a number
that two thirds, a factor and rounding up turn into the real one. GGUF: architecture `lfm2`; a block whose
`head_count_kv` is 0 has a convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.recurrence import ShortConvolution
from zeropoint.blueprint.sources import Reshaped, TensorSource
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput
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

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
_ATTENTION, _CONVOLUTION = "full_attention", "conv"  # values of `layer_types`
_HF = HF_LLAMA | {
    "final_norm": "model.embedding_norm",
    "blocks.{}.attention_norm": "model.layers.{}.operator_norm",
    "blocks.{}.attention.output": "model.layers.{}.self_attn.out_proj",
    "blocks.{}.attention.query_norm": "model.layers.{}.self_attn.q_layernorm",
    "blocks.{}.attention.key_norm": "model.layers.{}.self_attn.k_layernorm",
    "blocks.{}.recurrence_norm": "model.layers.{}.operator_norm",
    "blocks.{}.recurrence.input": "model.layers.{}.conv.in_proj",
    "blocks.{}.recurrence.convolution": "model.layers.{}.conv.conv",
    "blocks.{}.recurrence.output": "model.layers.{}.conv.out_proj",
    "blocks.{}.ffn_norm": "model.layers.{}.ffn_norm",
    "blocks.{}.ffn.gate": "model.layers.{}.feed_forward.w1",
    "blocks.{}.ffn.down": "model.layers.{}.feed_forward.w2",
    "blocks.{}.ffn.up": "model.layers.{}.feed_forward.w3",
}
_GGUF = GGUF | {
    "final_norm": "token_embd_norm",
    "blocks.{}.recurrence_norm": "blk.{}.attn_norm",
    "blocks.{}.recurrence.input": "blk.{}.shortconv.in_proj",
    "blocks.{}.recurrence.convolution": "blk.{}.shortconv.conv",
    "blocks.{}.recurrence.output": "blk.{}.shortconv.out_proj",
}
_MAX_KERNEL = 64


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of an `Lfm2Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    c.require("hidden_act", "silu")
    is_tied = c.get_bool("tie_embedding", default=c.get_bool("tie_word_embeddings", default=True))
    translated = {
        "rms_norm_eps": c.get_float("norm_eps", default=1e-5),
        "intermediate_size": _d_ff(c),
        "tie_word_embeddings": is_tied,
        "max_position_embeddings": c.get_int("max_position_embeddings", default=128000),
    }
    plain = llama_like_from_hf(HfConfig({**config, **translated}), "lfm2", has_query_key_norm=True, base=1e6)
    d_kernel = c.get_int("conv_L_cache", 2, _MAX_KERNEL, default=3)
    convolution = ShortConvolution(d_kernel, c.get_bool("conv_bias", default=False))
    return _with_convolutions(plain, convolution, _attends(c, plain.n_layers))


def _d_ff(c: HfConfig) -> int:
    """The feed-forward width, as `Lfm2MLP` computes it."""
    key = "block_ff_dim" if "block_ff_dim" in c.values else "intermediate_size"
    declared = c.get_int(key, 1, 2**22, default=12288)
    if not c.get_bool("block_auto_adjust_ff_dim", default=True):
        return declared
    d_ff = int(2 * declared / 3)
    factor_key = "block_ffn_dim_multiplier"
    if factor_key in c.values and c.values[factor_key] is None:
        return d_ff
    factor, multiple = c.get_float(factor_key, default=1.0), c.get_int("block_multiple_of", default=256)
    if not 0 < factor <= 1024:
        raise c.error(factor_key, "a number above 0, at most 1024")
    return -(-int(factor * d_ff) // multiple) * multiple


def _attends(c: HfConfig, n_layers: int) -> tuple[bool, ...]:
    """Whether each block has attention."""
    types = c.get_strings("layer_types", (_ATTENTION, _CONVOLUTION), n_layers)
    if types is not None:
        return tuple(layer_type == _ATTENTION for layer_type in types)
    indices = c.values.get("full_attn_idxs")
    if indices is None:
        return (True,) * n_layers
    if not isinstance(indices, list) or not all(type(i) is int and 0 <= i < n_layers for i in indices):
        raise c.error("full_attn_idxs", f"a list of layers from 0 to {n_layers - 1}")
    return tuple(i in indices for i in range(n_layers))


def _with_convolutions(
    plain: Blueprint, convolution: ShortConvolution, attends: tuple[bool, ...]
) -> Blueprint:
    blocks = (
        block if has_attention else replace(block, attention=None, recurrence=convolution)
        for block, has_attention in zip(plain.blocks, attends, strict=True)
    )
    return replace(plain, blocks=tuple(blocks))


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if an `Lfm2Config` cannot express it."""
    config = llama_like_to_hf(blueprint, "lfm2", "Lfm2ForCausalLM")
    convolution = _convolution_of(blueprint)
    del config["hidden_act"]
    config |= {
        "norm_eps": config.pop("rms_norm_eps"),
        "block_auto_adjust_ff_dim": False,
        "layer_types": [_CONVOLUTION if b.attention is None else _ATTENTION for b in blueprint.blocks],
        "conv_L_cache": convolution.d_kernel,
        "conv_bias": convolution.has_bias,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    plain = llama_like_from_gguf(model, "lfm2", has_query_key_norm=True, is_hybrid=True)
    convolution = ShortConvolution(model.get_int("lfm2.shortconv.l_cache", 2, _MAX_KERNEL))
    return _with_convolutions(plain, convolution, tuple(b.attention is not None for b in plain.blocks))


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `lfm2` cannot express it."""
    metadata = llama_like_to_gguf(blueprint, "lfm2")
    metadata["lfm2.shortconv.l_cache"] = _convolution_of(blueprint).d_kernel
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = permute_rotary(
        rename_tensors(blueprint, _GGUF if kind == "gguf" else _HF), blueprint, is_interleaved=False
    )
    return names if kind == "gguf" else _with_middle_axis(names, blueprint)


def _with_middle_axis(names: dict[str, TensorSource], blueprint: Blueprint) -> dict[str, TensorSource]:
    """torch stores a convolution of single channels as [D, 1, kernel]."""
    for ours, shape in parameters(blueprint).items():
        if ours.endswith(".convolution.weight"):
            names[ours] = Reshaped(names[ours], shape, (shape[0], 1, shape[1]))
    return names


def _convolution_of(blueprint: Blueprint) -> ShortConvolution:
    """The short convolution of the blocks; transformers' default if all have attention."""
    for i, block in enumerate(blueprint.blocks):
        if isinstance(block.recurrence, ShortConvolution):
            return block.recurrence
        if block.recurrence is not None:
            kind = type(block.recurrence).__name__
            raise BadInput(
                f"blocks[{i}].recurrence is {kind}; a file of the family lfm2 needs ShortConvolution"
            )
    return ShortConvolution(3)
