"""Gemma 2: norms before and after each part, soft-capped scores and logits, alternating sliding windows.

Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size", 2024, section 2. Hugging Face:
`Gemma2Config`, norms stored as gain - 1, embeddings scaled by sqrt(d_model), which transformers rounds to the
weights' dtype. GGUF: architecture `gemma2`, norms stored as the gain, rotary pairs in halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.families import GgufMetadata
from zeropoint.families._gemma import (
    gemma_activation,
    gemma_activation_to_hf,
    int_if_integral,
    score_scale,
    soft_cap,
    with_gemma_parts,
)
from zeropoint.families._gemma import gemma_tensor_map as tensor_map
from zeropoint.families._gguf import InMemoryGguf, get_float, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import (
    layer_windows,
    layer_windows_to_hf,
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
_DEFAULTS = {"head_dim": 256, "tie_word_embeddings": True, "max_position_embeddings": 8192}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `Gemma2Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(_DEFAULTS | dict(config) | {"hidden_act": "gelu_new"})
    c.require("attention_bias", False)
    c.require("use_bidirectional_attention", False)
    n_layers = c.get_int("num_hidden_layers", 1, 4096)
    window = c.get_int("sliding_window", default=None if "sliding_window" in config else 4096)
    plain = llama_like_from_hf(c, "gemma2", windows=layer_windows(c, window, _alternating(n_layers)))
    return with_gemma_parts(
        plain,
        activation=gemma_activation(c),
        scale=score_scale(c),
        caps=(soft_cap(c, "attn_logit_softcapping", 50.0), soft_cap(c, "final_logit_softcapping", 30.0)),
        is_offset=True,
    )


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Gemma2Config` cannot express it."""
    config = llama_like_to_hf(blueprint, "gemma2", "Gemma2ForCausalLM") | layer_windows_to_hf(blueprint)
    attention, head = blueprint.attention, blueprint.head
    config |= gemma_activation_to_hf(config) | {
        "query_pre_attn_scalar": int_if_integral(attention.score_scale**-2),
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
    return with_gemma_parts(plain, "gelu_tanh", scale, (attention_cap, head_cap), is_offset=False)


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


def _alternating(n_layers: int) -> tuple[bool, ...]:
    return tuple(i % 2 == 0 for i in range(n_layers))
