"""Parts shared by Gemma 2, 3 and 4: sandwich norms, scaled embeddings, soft caps, and their tensor names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from zeropoint.blueprint import Blueprint, Embedding, Head
from zeropoint.blueprint.parts.ffn import Activation, Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import Kind
from zeropoint.families._hf import ACTIVATIONS, HfConfig
from zeropoint.families._names import GGUF, HF_LLAMA, offset_norms, permute_rotary, rename_tensors

__all__ = [
    "HF_GEMMA",
    "gemma_activation",
    "gemma_activation_to_hf",
    "gemma_tensor_map",
    "int_if_integral",
    "score_scale",
    "soft_cap",
    "with_gemma_parts",
]

HF_GEMMA = HF_LLAMA | {
    "blocks.{}.attention_output_norm": "model.layers.{}.post_attention_layernorm",
    "blocks.{}.ffn_norm": "model.layers.{}.pre_feedforward_layernorm",
    "blocks.{}.ffn_output_norm": "model.layers.{}.post_feedforward_layernorm",
}


def with_gemma_parts(
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
            block.with_attention(
                scale=scale,
                softcap=caps[0],
                query_key_norm=norm if block.attention and block.attention.query_key_norm else None,
            ),
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


def gemma_activation(config: HfConfig) -> Activation:
    """The activation of a config."""
    return config.choose("hidden_activation", ACTIVATIONS, default="gelu_pytorch_tanh")


def gemma_activation_to_hf(config: dict[str, Any]) -> dict[str, Any]:
    """The keys of the activation; published configs have this name for what is also called "gelu_new"."""
    activation = {"gelu_new": "gelu_pytorch_tanh"}.get(config["hidden_act"], config["hidden_act"])
    return {"hidden_act": activation, "hidden_activation": activation}


def gemma_tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = permute_rotary(
        rename_tensors(blueprint, GGUF if kind == "gguf" else HF_GEMMA), blueprint, is_interleaved=False
    )
    return offset_norms(names, blueprint, is_offset=kind == "hf")


def score_scale(config: HfConfig) -> float:
    """The factor of the scores, from `query_pre_attn_scalar`."""
    scalar = config.get_float("query_pre_attn_scalar", default=256)
    if scalar <= 0:
        raise config.error("query_pre_attn_scalar", "a number above 0")
    return float(scalar**-0.5)


def soft_cap(config: HfConfig, key: str, default: float | None) -> float | None:
    """The soft cap: None for null, transformers' default for an absent key."""
    return config.get_float(key, default=None if key in config.values else default)


def int_if_integral(value: float) -> float | int:
    """The nearest integer if the value is one up to rounding."""
    return round(value) if abs(value - round(value)) < 1e-6 * value else value
