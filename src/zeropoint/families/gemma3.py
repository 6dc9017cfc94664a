"""Gemma 3: Gemma 2 with normalized queries and keys instead of soft-capped scores, five local blocks for
each global one, and a RoPE of its own for each of the two.

Gemma Team, "Gemma 3 Technical Report", 2025, section 2. Hugging Face: `Gemma3TextConfig`, and the text part
of a multimodal `Gemma3Config`. GGUF: architecture `gemma3`, norms stored as the gain, rotary pairs in halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.position import Rope
from zeropoint.errors import BadInput
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
from zeropoint.families._hf import FULL, SLIDING, HfConfig, layer_ropes_from_hf
from zeropoint.families._llama_like import (
    layer_windows,
    layer_windows_to_hf,
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._parts import rope_of
from zeropoint.families._round_trip import check_round_trip
from zeropoint.families._windows import all_but_every, sliding_from_gguf, sliding_to_gguf

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

HF_MODEL_TYPE = "gemma3_text"
PREFIX = "model."
IGNORED = (r".*rotary_emb\..*",)

_PERIOD = 6  # every sixth block is global
_LOCAL_BASE, _GLOBAL_BASE = 10000.0, 1e6
_N_LAYERS_27B = 62  # recognized by llama.cpp by its number of blocks: it scales the scores differently
_DEFAULTS = {  # of transformers; published configs of multimodal models rely on them
    "vocab_size": 262208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": True,
}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `Gemma3TextConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(_DEFAULTS | dict(config) | {"hidden_act": "gelu_new"})
    c.require("attention_bias", False)
    c.require("use_bidirectional_attention", False)
    c.require("attn_logit_softcapping", None)
    bases = {FULL: _GLOBAL_BASE, SLIDING: _LOCAL_BASE}
    ropes = layer_ropes_from_hf(c, dict.fromkeys(bases, c.get_int("head_dim", 1, 4096)), bases)
    plain = llama_like_from_hf(
        c, "gemma3", windows=_windows(c, config), has_query_key_norm=True, rope=ropes[FULL]
    )
    gemma = with_gemma_parts(
        plain,
        activation=gemma_activation(c),
        scale=score_scale(c),
        caps=(None, soft_cap(c, "final_logit_softcapping", None)),
        is_offset=True,
    )
    return _with_ropes(gemma, ropes[SLIDING], ropes[FULL])


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Gemma3TextConfig` cannot express it."""
    local, everywhere = _ropes(blueprint)
    a, head = blueprint.attention, blueprint.head
    config = llama_like_to_hf(blueprint, "gemma3_text", "Gemma3ForCausalLM", everywhere)
    config |= layer_windows_to_hf(blueprint) | gemma_activation_to_hf(config)
    config |= {
        "rope_local_base_freq": local.base,
        "query_pre_attn_scalar": int_if_integral(a.score_scale**-2),
        "final_logit_softcapping": head and head.softcap,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    plain = llama_like_from_gguf(model, "gemma3", has_query_key_norm=True)
    a = plain.attention
    if window := model.get_int("gemma3.attention.sliding_window", 0, 2**24, default=0):
        sliding = sliding_from_gguf(model, "gemma3", plain.n_layers, _PERIOD)
        windows = [window if is_sliding else None for is_sliding in sliding]
        blocks = zip(plain.blocks, windows, strict=True)
        plain = replace(plain, blocks=tuple(block.with_attention(window=w) for block, w in blocks))
    base = get_float(model, "gemma3.rope.freq_base_swa", 1.0, 1e12, default=_LOCAL_BASE)
    # Only the 27B model, recognized as in llama.cpp by its number of blocks, has this scale.
    is_27b = plain.n_layers == _N_LAYERS_27B
    scale = (plain.d_model // a.n_heads if is_27b else a.d_head) ** -0.5
    cap = get_float(model, "gemma3.final_logit_softcapping", 0.0, 1e6, default=0.0) or None
    gemma = with_gemma_parts(plain, "gelu_tanh", scale, (None, cap), is_offset=False)
    everywhere = rope_of(plain)
    return _with_ropes(gemma, Rope(base, everywhere.n_rotated), everywhere)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `gemma3` cannot express it."""
    local, everywhere = _ropes(blueprint)
    a, head = blueprint.attention, blueprint.head
    metadata = llama_like_to_gguf(blueprint, "gemma3", everywhere) | {
        "gemma3.attention.key_length": a.d_head,
        "gemma3.attention.value_length": a.d_head,
    }
    window = next((a.window for a in blueprint.attentions if a.window is not None), None)
    if window is not None:
        metadata |= {"gemma3.attention.sliding_window": window, "gemma3.rope.freq_base_swa": local.base}
        metadata |= sliding_to_gguf(blueprint, "gemma3", _PERIOD)
    if head is not None and head.softcap is not None:
        metadata["gemma3.final_logit_softcapping"] = head.softcap
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def _windows(c: HfConfig, config: Mapping[str, Any]) -> tuple[int | None, ...]:
    """The window of each block of a config; null where it slides is an error, as in transformers."""
    period = c.get_int("sliding_window_pattern", 1, 4096, default=_PERIOD)
    window = c.get_int("sliding_window", default=None if "sliding_window" in config else 4096)
    sliding = all_but_every(period, c.get_int("num_hidden_layers", 1, 4096))
    if window is None and any(layer_windows(c, 1, sliding)):
        raise c.error("sliding_window", "an integer, since some layers slide")
    return layer_windows(c, window, sliding)


def _with_ropes(blueprint: Blueprint, local: Rope, everywhere: Rope) -> Blueprint:
    """The blueprint with the RoPE of its blocks: with a window, and without."""
    return replace(
        blueprint,
        blocks=tuple(
            block.with_attention(position=local if block.attention and block.attention.window else everywhere)
            for block in blueprint.blocks
        ),
    )


def _ropes(blueprint: Blueprint) -> tuple[Rope, Rope]:
    """The RoPE of the blocks with a window and of those without; the published one if there are none."""
    d_head = blueprint.attention.d_head
    found = {a.window is None: a.position for a in reversed(blueprint.attentions)}
    local, everywhere = (
        found.get(False, Rope(_LOCAL_BASE, d_head)),
        found.get(True, Rope(_GLOBAL_BASE, d_head)),
    )
    if not isinstance(local, Rope) or not isinstance(everywhere, Rope):
        raise BadInput("a block of this blueprint has no Rope; a file of the family gemma3 needs one in each")
    return local, everywhere
