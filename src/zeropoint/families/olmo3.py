"""OLMo 3: OLMo 2 with a sliding window in three of four blocks, which alone keep the plain RoPE.

OLMo Team, "Olmo 3", 2025, section 2. Hugging Face: `Olmo3Config`. GGUF files name the architecture `olmo2`
and have one base for all blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.attention import Bias
from zeropoint.blueprint.parts.position import Rope
from zeropoint.errors import BadInput
from zeropoint.families import GgufMetadata, olmo2
from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import FULL, SLIDING, HfConfig, layer_ropes_from_hf, rope_to_hf
from zeropoint.families._llama_like import (
    layer_windows_to_hf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._olmo import tensor_map, with_olmo_norms
from zeropoint.families._parts import rope_of
from zeropoint.families._round_trip import check_round_trip
from zeropoint.families._windows import sliding_from_gguf, sliding_to_gguf, windows_from_hf

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

GGUF_ARCHITECTURE = "olmo2"
PREFIX = "model."
IGNORED = (r".*rotary_emb\..*",)
_PERIOD = 4  # every fourth block attends to everything
_BASE = 500000.0


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of an `Olmo3Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    bias: Bias = "all" if c.get_bool("attention_bias", default=False) else "none"
    plain = llama_like_from_hf(
        c,
        "olmo3",
        bias,
        windows_from_hf(c, _PERIOD, 4096),
        has_query_key_norm=True,
        eps=1e-5,
        rope=Rope(_BASE, 2),
    )
    base = c.get_positive("rope_theta", default=_BASE)
    bases = {FULL: base, SLIDING: base}
    ropes = layer_ropes_from_hf(c, dict.fromkeys(bases, plain.attention.d_head), bases)
    return _with_ropes(with_olmo_norms(plain), ropes[SLIDING], ropes[FULL])


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if an `Olmo3Config` cannot express it."""
    a, (local, full) = blueprint.attention, _ropes(blueprint)
    config = llama_like_to_hf(blueprint, "olmo3", "Olmo3ForCausalLM", full) | layer_windows_to_hf(blueprint)
    if config["sliding_window"] is None:
        config["sliding_window"] = 4096  # unused, but transformers requires one
    config["attention_bias"] = a.bias == "all"
    # transformers 5 has no other place for the base of blocks with a window.
    config["rope_parameters"] = {
        FULL: _rope_object(full, blueprint),
        SLIDING: _rope_object(local, blueprint),
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    plain = olmo2.from_gguf(model)
    window = model.get_int("olmo2.attention.sliding_window", 0, 2**24, default=0) or None
    sliding = sliding_from_gguf(model, "olmo2", plain.n_layers, _PERIOD)
    blocks = zip(plain.blocks, sliding, strict=True)
    windowed = tuple(block.with_attention(window=window if slides else None) for block, slides in blocks)
    full = rope_of(plain)
    blueprint = replace(plain, family="olmo3", blocks=windowed)
    return _with_ropes(blueprint, Rope(full.base, full.n_rotated), full)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `olmo2` cannot express it."""
    metadata = llama_like_to_gguf(blueprint, "olmo2", _ropes(blueprint)[1])
    window = next((a.window for a in blueprint.attentions if a.window is not None), None)
    if window is not None:
        metadata["olmo2.attention.sliding_window"] = window
        metadata |= sliding_to_gguf(blueprint, "olmo2", _PERIOD)
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def _with_ropes(blueprint: Blueprint, local: Rope, full: Rope) -> Blueprint:
    """The blueprint with the RoPE of its blocks: with a window, and without."""
    return replace(
        blueprint,
        blocks=tuple(
            block.with_attention(position=local if block.attention and block.attention.window else full)
            for block in blueprint.blocks
        ),
    )


def _ropes(blueprint: Blueprint) -> tuple[Rope, Rope]:
    """The RoPE of the blocks with a window and of those without. Raises BadInput for another encoding."""
    found = {a.window is None: a.position for a in reversed(blueprint.attentions)}
    local, full = (found.get(is_full) or found[not is_full] for is_full in (False, True))
    if not isinstance(local, Rope) or not isinstance(full, Rope):
        raise BadInput("a block of this blueprint has no Rope; a file of the family olmo3 needs one in each")
    return local, full


def _rope_object(rope: Rope, blueprint: Blueprint) -> dict[str, Any]:
    """A RoPE as an object of `rope_parameters`."""
    flat = rope_to_hf(rope, blueprint.attention.d_head, blueprint.n_ctx)
    return {"rope_type": "default", **flat.pop("rope_scaling", {}), **flat}
