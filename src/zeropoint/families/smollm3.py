"""SmolLM3: Llama without rotation of queries and keys in every fourth block.

Bakouch et al., "SmolLM3: smol, multilingual, long-context reasoner", Hugging Face, 2025; Yang et al., "Rope
to Nope and Back Again", 2025. Hugging Face: `SmolLM3Config`. GGUF: architecture `smollm3`, whose readers know
the period; rotary pairs are neighbours, also in the blocks that do not rotate them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.position import NoPosition, Rope
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import (
    layer_windows,
    layer_windows_to_hf,
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors
from zeropoint.families._round_trip import check_round_trip
from zeropoint.families._windows import all_but_every

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
_PERIOD = 4  # every fourth block does not rotate
_BASE = 2e6
_DEFAULTS = {  # of transformers
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `SmolLM3Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(_DEFAULTS | dict(config))
    c.require("mlp_bias", False)
    rotated = _rotated(c)
    plain = llama_like_from_hf(
        c,
        "smollm3",
        "all" if c.get_bool("attention_bias", default=False) else "none",
        _windows(c, rotated),
        base=_BASE,
    )
    return _with_rotation(plain, rotated)


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `SmolLM3Config` cannot express it."""
    config = llama_like_to_hf(blueprint, "smollm3", "SmolLM3ForCausalLM", _rope(blueprint))
    config |= layer_windows_to_hf(blueprint) | {
        "attention_bias": blueprint.attention.bias == "all",
        "no_rope_layers": [int(isinstance(a.position, Rope)) for a in blueprint.attentions],
        "use_sliding_window": any(a.window is not None for a in blueprint.attentions),
        "pad_token_id": None,  # transformers' default, 128004, may be outside the vocabulary
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    plain = llama_like_from_gguf(model, "smollm3", is_interleaved=True)
    return _with_rotation(plain, all_but_every(_PERIOD, plain.n_layers))


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `smollm3` cannot express it."""
    metadata = llama_like_to_gguf(blueprint, "smollm3", _rope(blueprint))
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = rename_tensors(blueprint, GGUF if kind == "gguf" else HF_LLAMA)
    rope = _rope(blueprint)
    all_rotated = tuple(block.with_attention(position=rope) for block in blueprint.blocks)
    return permute_rotary(names, replace(blueprint, blocks=all_rotated), is_interleaved=kind == "gguf")


def _rotated(c: HfConfig) -> tuple[bool, ...]:
    """True for each block that rotates: `no_rope_layers` has 1 for these, in spite of its name."""
    n_layers = c.get_int("num_hidden_layers", 1, 4096)
    listed = c.values.get("no_rope_layers")
    if listed is None:
        return all_but_every(c.get_int("no_rope_layer_interval", 1, 4096, default=_PERIOD), n_layers)
    if (
        not isinstance(listed, list)
        or len(listed) < n_layers
        or not all(type(x) is int and x in (0, 1) for x in listed)
    ):
        raise c.error("no_rope_layers", f"a list of 0 and 1, one for each of the {n_layers} layers")
    return tuple(bool(x) for x in listed[:n_layers])


def _windows(c: HfConfig, rotated: tuple[bool, ...]) -> tuple[int | None, ...]:
    """The window of each block: by default of those that do not rotate, if windows are used at all."""
    window = c.get_int("sliding_window", default=None)
    is_used = window is not None and c.get_bool("use_sliding_window", default=False)
    sliding = tuple(is_used and not is_rotated for is_rotated in rotated)
    if window is None and any(layer_windows(c, 1, sliding)):
        raise c.error("sliding_window", "an integer, since some layers slide")
    return layer_windows(c, window, sliding)


def _with_rotation(blueprint: Blueprint, rotated: Iterable[bool]) -> Blueprint:
    """The blueprint, in which only the blocks with True in `rotated` rotate queries and keys."""
    blocks = zip(blueprint.blocks, rotated, strict=True)
    return replace(
        blueprint,
        blocks=tuple(
            block if is_rotated else block.with_attention(position=NoPosition())
            for block, is_rotated in blocks
        ),
    )


def _rope(blueprint: Blueprint) -> Rope:
    """The RoPE of the blocks that have one."""
    ropes = (a.position for a in blueprint.attentions if isinstance(a.position, Rope))
    return next(ropes, Rope(_BASE, blueprint.attention.d_head))
