"""Gemma 2: norms before and after each part, soft-capped scores and logits, alternating sliding windows.

Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size", 2024, section 2. Hugging Face:
`Gemma2Config`, norms stored as gain - 1, embeddings scaled by sqrt(d_model), which transformers rounds to the
weights' dtype. GGUF: architecture `gemma2`, norms stored as the gain, rotary pairs in halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from zeropoint.blueprint import Blueprint, Embedding, Head
from zeropoint.blueprint.parts.ffn import Activation, Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gguf import InMemoryGguf, get_float, gguf_tensors
from zeropoint.families._hf import ACTIVATIONS, HfConfig
from zeropoint.families._llama_like import (
    layer_windows,
    layer_windows_to_hf,
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._names import GGUF, HF_LLAMA, offset_norms, permute_rotary, rename_tensors
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
_HF = HF_LLAMA | {
    "blocks.{}.attention_output_norm": "model.layers.{}.post_attention_layernorm",
    "blocks.{}.ffn_norm": "model.layers.{}.pre_feedforward_layernorm",
    "blocks.{}.ffn_output_norm": "model.layers.{}.post_feedforward_layernorm",
}
_DEFAULTS = {"head_dim": 256, "tie_word_embeddings": True, "max_position_embeddings": 8192}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `Gemma2Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(_DEFAULTS | dict(config) | {"hidden_act": "gelu_new"})
    c.require("attention_bias", False)
    c.require("use_bidirectional_attention", False)
    n_layers = c.get_int("num_hidden_layers", 1, 4096)
    window = c.get_int("sliding_window", default=None if "sliding_window" in config else 4096)
    plain = llama_like_from_hf(c, "gemma2", windows=layer_windows(c, window, _alternating(n_layers)))
    return _with_gemma_parts(
        plain,
        activation=c.choose("hidden_activation", ACTIVATIONS, default="gelu_pytorch_tanh"),
        scale=c.get_float("query_pre_attn_scalar", default=256) ** -0.5,
        caps=(_cap(c, "attn_logit_softcapping", 50.0), _cap(c, "final_logit_softcapping", 30.0)),
        is_offset=True,
    )


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Gemma2Config` cannot express it."""
    config = llama_like_to_hf(blueprint, "gemma2", "Gemma2ForCausalLM") | layer_windows_to_hf(blueprint)
    attention, head = blueprint.attention, blueprint.head
    # Published configs use this name for the activation that transformers also calls "gelu_new".
    activation = {"gelu_new": "gelu_pytorch_tanh"}.get(config["hidden_act"], config["hidden_act"])
    config |= {
        "hidden_act": activation,
        "hidden_activation": activation,
        "query_pre_attn_scalar": _as_int_if_integral(attention.score_scale**-2),
        "attn_logit_softcapping": attention.softcap,
        "final_logit_softcapping": head and head.softcap,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    window = model.get_int("gemma2.attention.sliding_window", 1, 2**24, default=4096)
    plain = llama_like_from_gguf(model, "gemma2")
    a = plain.attention
    attentions = (replace(a, window=window if slides else None) for slides in _alternating(plain.n_layers))
    blocks = tuple(replace(plain.blocks[0], attention=attention) for attention in attentions)
    plain = replace(plain, blocks=blocks)
    # Only the 27B model, recognized as in llama.cpp by its 46 blocks, scales by (d_model / n_heads) ** -0.5.
    scale = (plain.d_model / a.n_heads if plain.n_layers == 46 else a.d_head) ** -0.5
    attention_cap = get_float(model, "gemma2.attn_logit_softcapping", 1e-6, 1e6, default=50.0)
    head_cap = get_float(model, "gemma2.final_logit_softcapping", 1e-6, 1e6, default=30.0)
    return _with_gemma_parts(plain, "gelu_tanh", scale, (attention_cap, head_cap), is_offset=False)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `gemma2` cannot express it."""
    metadata = llama_like_to_gguf(blueprint, "gemma2")
    attention, head = blueprint.attention, blueprint.head
    optional = {
        "gemma2.attention.sliding_window": attention.window,
        "gemma2.attn_logit_softcapping": attention.softcap,
        "gemma2.final_logit_softcapping": head and head.softcap,
        "gemma2.attention.key_length": attention.d_head,
        "gemma2.attention.value_length": attention.d_head,
    }
    metadata |= {key: value for key, value in optional.items() if value is not None}
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = permute_rotary(
        rename_tensors(blueprint, GGUF if kind == "gguf" else _HF), blueprint, is_interleaved=False
    )
    return offset_norms(names, blueprint, is_offset=kind == "hf")


def _with_gemma_parts(
    plain: Blueprint,
    activation: Activation,
    scale: float,
    caps: tuple[float | None, float | None],
    is_offset: bool,
) -> Blueprint:
    """A Llama-like blueprint with Gemma's additions. caps: soft caps of scores and of logits."""
    norm = replace(cast(RMSNorm, plain.final_norm), is_offset=is_offset)
    blocks = tuple(
        replace(
            block.with_attention(scale=scale, softcap=caps[0]),
            ffn=Gated(block.ffn.d_ff, activation) if isinstance(block.ffn, Gated) else block.ffn,
            norm=norm,
            placement="sandwich",
        )
        for block in plain.blocks
    )
    return replace(
        plain,
        blocks=blocks,
        final_norm=norm,
        embedding=Embedding(scale=plain.d_model**0.5),
        head=replace(cast(Head, plain.head), softcap=caps[1]),
    )


def _alternating(n_layers: int) -> tuple[bool, ...]:
    return tuple(i % 2 == 0 for i in range(n_layers))


def _cap(config: HfConfig, key: str, default: float) -> float | None:
    """The soft cap: None for null, transformers' default for an absent key."""
    return config.get_float(key, default=None if key in config.values else default)


def _as_int_if_integral(value: float) -> float | int:
    return round(value) if abs(value - round(value)) < 1e-6 * value else value
