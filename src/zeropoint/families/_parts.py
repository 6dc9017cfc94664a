"""Parts of a blueprint's first block, with a BadInput error if the part is of another kind."""

from __future__ import annotations

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.ffn import MLP, ChannelMix, Gated, MixtureOfExperts
from zeropoint.blueprint.parts.position import Rope
from zeropoint.errors import BadInput

__all__ = ["eps_of", "experts_of", "network_of", "rope_of"]


def eps_of(blueprint: Blueprint) -> float:
    """The eps of the norms."""
    norm = blueprint.blocks[0].norm
    if norm is None:
        raise _kind_error(blueprint, "norm", norm, "a norm")
    return float(norm.eps)


def network_of(blueprint: Blueprint) -> MLP | Gated:
    """The feed-forward network; for a mixture of experts, one expert."""
    ffn = blueprint.blocks[0].ffn
    if ffn is None or isinstance(ffn, ChannelMix):
        raise _kind_error(blueprint, "ffn", ffn, "a feed-forward network")
    return ffn.expert if isinstance(ffn, MixtureOfExperts) else ffn


def experts_of(blueprint: Blueprint) -> MixtureOfExperts:
    """The mixture of experts of the first block that has one."""
    for block in blueprint.blocks:
        if isinstance(block.ffn, MixtureOfExperts):
            return block.ffn
    raise _kind_error(blueprint, "ffn", blueprint.blocks[0].ffn, "MixtureOfExperts")


def rope_of(blueprint: Blueprint) -> Rope:
    """The RoPE of the attention."""
    position = blueprint.attention.position
    if not isinstance(position, Rope):
        raise _kind_error(blueprint, "attention.position", position, "Rope")
    return position


def _kind_error(blueprint: Blueprint, field: str, value: object, expected: str) -> BadInput:
    kind = None if value is None else type(value).__name__
    return BadInput(f"blocks[0].{field} is {kind}; a file of the family {blueprint.family} needs {expected}")
