"""Mixtures of experts in files: their sizes, and one stored tensor per expert."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.ffn import FFN, MixtureOfExperts
from zeropoint.blueprint.sources import Rename, Stacked, TensorSource
from zeropoint.families import GgufMetadata
from zeropoint.families._hf import HfConfig

__all__ = ["PLACEHOLDERS", "expert_counts", "expert_counts_from_hf", "stack_experts", "with_ffn"]

PLACEHOLDERS = {f"blocks.{{}}.ffn.experts.{part}": part for part in ("gate", "up", "down")}
"""Names for `rename_tensors`, until `stack_experts` replaces the tensors."""


def with_ffn(blueprint: Blueprint, change: Callable[[int, FFN | None], FFN | None]) -> Blueprint:
    """The blueprint with another feed-forward network in each block; change: of the block's number and
    network.
    """
    blocks = tuple(replace(block, ffn=change(i, block.ffn)) for i, block in enumerate(blueprint.blocks))
    return replace(blueprint, blocks=blocks)


def expert_counts(model: GgufMetadata, arch: str) -> tuple[int, int]:
    """The numbers of experts, and of those active for a token. Raises BadModelFile naming the key."""
    n_experts = model.get_int(f"{arch}.expert_count", 1, 2**16)
    return n_experts, model.get_int(f"{arch}.expert_used_count", 1, n_experts)


def expert_counts_from_hf(c: HfConfig, n_experts: int, n_active: int) -> tuple[int, int]:
    """The same from a config. n_experts, n_active: the family's defaults.

    Configs have the number as `num_experts` or `num_local_experts`; transformers takes either.
    """
    key = "num_experts" if "num_experts" in c.values else "num_local_experts"
    n_experts = c.get_int(key, 1, 2**16, default=n_experts)
    return n_experts, c.get_int("num_experts_per_tok", 1, n_experts, default=min(n_active, n_experts))


def stack_experts(
    sources: dict[str, TensorSource], blueprint: Blueprint, stored_experts: str, modules: Mapping[str, str]
) -> dict[str, TensorSource]:
    """`sources` with the experts stored as one tensor each.

    stored_experts: the stored module of all experts of block {}. modules: our part of an expert to theirs.
    """
    updated: dict[str, TensorSource] = {}
    for i, block in enumerate(blueprint.blocks):
        if not isinstance(block.ffn, MixtureOfExperts):
            continue
        for part, module in modules.items():
            name = f"{stored_experts.format(i)}.{{}}.{module}.weight"
            stack = tuple(Rename(name.format(e)) for e in range(block.ffn.n_experts))
            updated[f"blocks.{i}.ffn.experts.{part}.weight"] = Stacked(stack)
    return sources | updated
