"""How a model knows where a token stands: added to the embedding, turned into q and k, or added to scores.

The folder is the list: the file of a spec has the name of its class, as TOML writes it. In it may stand
`vectors(spec, d_model)`: positions [B, T] -> what is added to the embedding, [B, T, D];
`turning(spec)`: heads [B, H, T, K], positions [B, T], longest text -> the turned heads;
`bias(spec, n_heads)`: n_queries, n_keys, device -> what is added to the scores of every layer, [H, T, S].
Each gives a module, or a function where there is nothing to learn. The one table that all layers share
(`relative_bias`) is the stack's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zeropoint import registry
from zeropoint.blueprint.parts.position import AttentionPosition, EmbeddingPosition, NoPosition
from zeropoint.blueprint.toml_codec import kind_of

__all__ = ["maker"]


def maker(position: AttentionPosition | EmbeddingPosition, role: str) -> Callable[..., Any] | None:
    """The function `role` ("vectors", "turning", "bias") of the spec's file, or None if it has none.

    Raises BadInput for a spec that has no file here.
    """
    if isinstance(position, NoPosition):
        return None
    module = registry.load(__name__, kind_of(type(position)), "position")
    found: Callable[..., Any] | None = getattr(module, role, None)
    return found
