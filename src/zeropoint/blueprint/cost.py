"""Parameters, memory and compute of a model, computed from its blueprint alone."""

from __future__ import annotations

import math
from dataclasses import replace

from zeropoint.blueprint.parts.ffn import ChannelMix, MixtureOfExperts
from zeropoint.blueprint.spec import Block, Blueprint
from zeropoint.blueprint.tensors import block_parameters, parameters

__all__ = [
    "cache_bytes",
    "count_active_parameters",
    "count_parameters",
    "count_parameters_without_positions",
    "decode_flops",
    "weight_bytes",
]


def count_parameters(blueprint: Blueprint) -> int:
    """Number of parameters; a tied head counts once, and a layer that no pass runs (`mtp`) not at all."""
    return sum(math.prod(shape) for shape in parameters(replace(blueprint, mtp=None)).values())


def count_parameters_without_positions(blueprint: Blueprint) -> int:
    """Number of parameters without learned positions, as Karpathy's nanoGPT prints it."""
    positions = parameters(blueprint).get("embedding.position.weight", (0,))
    return count_parameters(blueprint) - math.prod(positions)


def count_active_parameters(blueprint: Blueprint) -> int:
    """Number of parameters used for one token: of a mixture's experts, only the active ones."""
    n_inactive = 0
    for block in (*blueprint.encoder, *blueprint.blocks):
        if isinstance(ffn := block.ffn, MixtureOfExperts):
            shapes = block_parameters(block, blueprint.d_model)
            n_per_expert = sum(math.prod(shape[1:]) for name, shape in shapes.items() if ".experts." in name)
            n_inactive += (ffn.n_experts - ffn.n_active) * n_per_expert
    return count_parameters(blueprint) - n_inactive


def weight_bytes(blueprint: Blueprint, bits_per_weight: float = 32) -> int:
    """Bytes of all weights."""
    return math.ceil(count_parameters(blueprint) * bits_per_weight / 8)


def cache_bytes(blueprint: Blueprint, n_positions: int, element_bytes: int = 2) -> int:
    """Bytes of the cache of n_positions tokens (2 bytes per element: half precision).

    Keys and values, at most those of its window for a layer that has one, and recurrent states in float32.
    A layer that reads the keys and values of another one adds nothing.
    """
    n_elements, n_state = 0, 0
    for block in blueprint.blocks:
        if block.recurrence is not None:
            n_state += sum(math.prod(shape) for _, shape in block.recurrence.state(blueprint.d_model))
            n_state += blueprint.d_model if isinstance(block.ffn, ChannelMix) else 0
        elif block.attention is not None and block.attention.has_keys:
            n_elements += 2 * block.attention.d_kv * min(n_positions, block.attention.window or n_positions)
    return n_elements * element_bytes + n_state * 4


def decode_flops(blueprint: Blueprint, n_positions: int) -> int:
    """Floating-point operations to decode one token after n_positions others.

    2 per weight of each matrix, and 4 per cached position and query column: 2 for q . k, 2 for the values.
    """
    matrices = sum(_active_matrix_weights(block, blueprint.d_model) for block in blueprint.blocks)
    head = 0 if blueprint.head is None else blueprint.n_vocab * blueprint.d_model
    if blueprint.per_layer is not None:
        matrices += blueprint.n_layers * blueprint.per_layer.width * blueprint.d_model
    attention = sum(
        attention.d_query * min(n_positions, attention.window or n_positions)
        for attention in blueprint.attentions
    )
    return 2 * (matrices + head) + 4 * attention


def _active_matrix_weights(block: Block, d_model: int) -> int:
    shapes = block_parameters(block, d_model)
    share = 1.0
    if isinstance(block.ffn, MixtureOfExperts):
        share = block.ffn.n_active / block.ffn.n_experts
    return sum(
        round(math.prod(shape) * (share if len(shape) == 3 else 1))
        for name, shape in shapes.items()
        if len(shape) > 1 and not name.endswith("bias")
    )
