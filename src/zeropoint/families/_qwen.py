"""Shared by Qwen 2 and 3: sliding windows from a late block onward, rotary pairs in halves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gguf import InMemoryGguf
from zeropoint.families._hf import SLIDING, HfConfig
from zeropoint.families._llama_like import layer_windows, layer_windows_to_hf, llama_like_to_gguf
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors
from zeropoint.families._round_trip import check_round_trip

__all__ = ["qwen_to_gguf", "qwen_windows", "qwen_windows_to_hf", "tensor_map"]


def qwen_windows(config: HfConfig) -> tuple[int | None, ...]:
    """The window of each block: none unless `use_sliding_window`; then from block `max_window_layers`."""
    n_layers = config.get_int("num_hidden_layers", 1, 4096)
    if not config.get_bool("use_sliding_window", default=False):
        return (None,) * n_layers
    first = config.get_int("max_window_layers", 0, default=28)
    window = config.get_int("sliding_window", default=4096)
    return layer_windows(config, window, tuple(i >= first for i in range(n_layers)))


def qwen_windows_to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The keys that `qwen_windows` reads."""
    config = layer_windows_to_hf(blueprint)
    types = config["layer_types"]
    first = types.index(SLIDING) if SLIDING in types else len(types)
    return config | {"use_sliding_window": SLIDING in types, "max_window_layers": first}


def qwen_to_gguf(
    blueprint: Blueprint, arch: str, from_gguf: Callable[[GgufMetadata], Blueprint]
) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture cannot express it."""
    metadata = llama_like_to_gguf(blueprint, arch)
    reread = from_gguf(InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf")))
    check_round_trip(blueprint, reread, "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = rename_tensors(blueprint, GGUF if kind == "gguf" else HF_LLAMA)
    return permute_rotary(names, blueprint, is_interleaved=False)
