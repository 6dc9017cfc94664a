"""Positional encodings: how a model knows the order of its tokens. Read `sinusoidal`, `rope`, then `alibi`.

The file for a spec is named after its kind in TOML, and a file added here is found without further edits. It
defines one of three functions, each of which returns a module, or a plain function if nothing is learned:
`embedding(spec, d_model)`: positions [B, T] -> what to add to the token embedding, [B, T, D];
`rotary(spec)`: positions [B, T], longest text -> a `Rotation`, computed once per forward pass;
`score_bias(spec, n_heads)`: n_queries, n_keys, device -> what to add to the scores of every layer, [H, T, S].
`relative_bias` (T5) has one table for all layers, which the stack of blocks owns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from zeropoint import registry
from zeropoint.blueprint.parts.position import AttentionPosition, EmbeddingPosition, NoPosition
from zeropoint.blueprint.toml_codec import kind_of

__all__ = ["Role", "Rotation", "builder_for"]

Role = Literal["embedding", "rotary", "score_bias"]
Rotation = Callable[[Tensor], Tensor]  # queries or keys [B, H, T, K] -> the same, rotated


def builder_for(position: AttentionPosition | EmbeddingPosition, role: Role) -> Callable[..., Any] | None:
    """The function called `role` in the file for a spec; None if that file does not define it.

    Raises BadInput for a spec without a file.
    """
    if isinstance(position, NoPosition):
        return None
    module = registry.load(__name__, kind_of(type(position)), "position")
    builder: Callable[..., Any] | None = getattr(module, role, None)
    return builder
