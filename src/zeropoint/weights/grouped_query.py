"""Turn multi-head attention into grouped-query attention by averaging the key and value heads of each group.

Ainslie et al., "GQA: training generalized multi-query transformer models from multi-head checkpoints", 2023,
section 2.1: mean pooling keeps more of the model than choosing one head, or than new ones. The result needs
some training (they take 5 % of the original steps), and its KV cache is smaller by the size of a group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.check import check
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.errors import BadInput

__all__ = ["to_grouped_query"]

Array = npt.NDArray[np.float32]


def to_grouped_query(
    blueprint: Blueprint, weights: Mapping[str, Array], n_kv_heads: int
) -> tuple[Blueprint, dict[str, Array]]:
    """The blueprint and weights with n_kv_heads key and value heads in every attention; 1 is multi-query.

    weights: by our names. Raises BadInput unless n_kv_heads divides the number of heads there are.
    """
    result, blocks = dict(weights), []
    for i, block in enumerate(blueprint.blocks):
        attention = block.attention
        if not isinstance(attention, Attention):
            blocks.append(block)
            continue
        n_old, d_head = attention.n_kv_heads, attention.d_head
        if n_kv_heads < 1 or n_old % n_kv_heads:
            raise BadInput(
                f"n_kv_heads must divide the {n_old} key and value heads of layer {i}; got {n_kv_heads}"
            )
        for part in ("key.weight", "key.bias", "value.weight", "value.bias"):
            name = f"blocks.{i}.attention.{part}"
            if name in result:
                heads = result[name].reshape(n_kv_heads, n_old // n_kv_heads, d_head, -1)
                result[name] = heads.mean(axis=1).reshape(n_kv_heads * d_head, *result[name].shape[1:])
        blocks.append(block.with_attention(n_kv_heads=n_kv_heads))
    grouped = replace(blueprint, blocks=tuple(blocks))
    check(grouped, blueprint.family)
    return grouped, result
