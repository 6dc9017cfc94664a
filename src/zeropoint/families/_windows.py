"""Which blocks have a sliding window: a pattern that repeats, or one entry for each block."""

from __future__ import annotations

from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.errors import BadModelFile
from zeropoint.families import GgufMetadata
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import layer_windows

__all__ = ["all_but_every", "sliding_from_gguf", "sliding_to_gguf", "windows_from_hf"]


def all_but_every(period: int, n_layers: int) -> tuple[bool, ...]:
    """True for each block with a window: all but every `period`-th. 0: all of them."""
    return tuple(period == 0 or (i + 1) % period != 0 for i in range(n_layers))


def windows_from_hf(c: HfConfig, period: int, window: int) -> tuple[int | None, ...]:
    """The window of each block of a config whose `layer_types` default to all but every `period`-th.

    window: for a config without `sliding_window`; null where a block slides is an error, as in transformers.
    """
    size = c.get_int("sliding_window", default=None if "sliding_window" in c.values else window)
    sliding = all_but_every(period, c.get_int("num_hidden_layers", 1, 4096))
    if size is None and any(layer_windows(c, 1, sliding)):
        raise c.error("sliding_window", "an integer, since some layers slide")
    return layer_windows(c, size, sliding)


def sliding_from_gguf(model: GgufMetadata, arch: str, n_layers: int, period: int) -> tuple[bool, ...]:
    """True for each block with a window, from `sliding_window_pattern`: a period, or a list of bools.

    period: the architecture's, for files without the key. Raises BadModelFile.
    """
    key = f"{arch}.attention.sliding_window_pattern"
    if not isinstance(model.metadata.get(key), list):
        return all_but_every(model.get_int(key, 0, 4096, default=period), n_layers)
    pattern = model.get_list(key, bool)
    if len(pattern) != n_layers:
        raise BadModelFile(
            f"{model.name}: metadata `{key}` has {len(pattern)} items; it must have one for each of the "
            f"{n_layers} blocks"
        )
    return tuple(pattern)


def sliding_to_gguf(blueprint: Blueprint, arch: str, period: int) -> dict[str, Any]:
    """The key that `sliding_from_gguf` reads; none if the windows follow the architecture's period."""
    sliding = tuple(attention.window is not None for attention in blueprint.attentions)
    if sliding == all_but_every(period, blueprint.n_layers):
        return {}
    return {f"{arch}.attention.sliding_window_pattern": list(sliding)}
