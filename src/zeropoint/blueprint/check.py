"""Rules across the fields of a blueprint. All problems are found at once, each with field, value, remedy."""

from __future__ import annotations

import math
from collections.abc import Iterator

from zeropoint.blueprint.spec import Block, Blueprint
from zeropoint.errors import BadInput

__all__ = ["check", "problems"]

# Above any published model; keeps every product of sizes within 64 bits.
_MOST = {"d_model": 2**20, "n_vocab": 2**24, "n_ctx": 2**24, "n_layers": 4096, "d_ff": 2**22, "d_head": 4096}


def check(blueprint: Blueprint, name: str = "blueprint") -> None:
    """Raise BadInput listing every broken rule, or return."""
    found = list(problems(blueprint))
    if found:
        raise BadInput(f"{name}: " + "; ".join(found))


def problems(blueprint: Blueprint) -> Iterator[str]:
    """Each broken rule as a sentence without its full stop."""
    for field in ("d_model", "n_vocab", "n_ctx", "n_layers"):
        yield from _in_range(field, getattr(blueprint, field))
    if blueprint.n_vocab < 2:
        yield f"n_vocab is {blueprint.n_vocab}; a vocabulary has at least 2 tokens"
    yield from _eps("final_norm.eps", blueprint.final_norm.eps)
    for i, block in enumerate(dict.fromkeys(blueprint.blocks)):
        yield from (f"blocks[{i}].{problem}" for problem in _block_problems(block))


def _block_problems(block: Block) -> Iterator[str]:
    a, rope = block.attention, block.attention.position
    yield from _in_range("attention.d_head", a.d_head)
    yield from _in_range("ffn.d_ff", block.ffn.d_ff)
    yield from _eps("norm.eps", block.norm.eps)
    if not 1 <= a.n_heads <= 65536:
        yield f"attention.n_heads is {a.n_heads}; expected 1 to 65536"
    elif not 1 <= a.n_kv_heads <= a.n_heads or a.n_heads % a.n_kv_heads:
        yield f"attention.n_kv_heads is {a.n_kv_heads}; expected a divisor of n_heads, {a.n_heads}"
    if not 0 <= rope.n_rotated <= a.d_head or rope.n_rotated % 2:
        yield f"position.n_rotated is {rope.n_rotated}; expected an even number up to d_head, {a.d_head}"
    elif rope.frequency_factors and len(rope.frequency_factors) != rope.n_rotated // 2:
        yield f"position.frequency_factors has {len(rope.frequency_factors)} items; expected n_rotated / 2"
    for field in ("base", "linear_factor"):
        value = getattr(rope, field)
        if not (math.isfinite(value) and value > 0):
            yield f"position.{field} is {value}; expected a positive number"
    if not all(math.isfinite(f) and f > 0 for f in rope.frequency_factors):
        yield "position.frequency_factors holds a value that is not a positive number"


def _in_range(field: str, value: int) -> Iterator[str]:
    most = _MOST[field.rpartition(".")[2]]
    if not 1 <= value <= most:
        yield f"{field} is {value}; expected 1 to {most}"


def _eps(field: str, value: float) -> Iterator[str]:
    if not (math.isfinite(value) and value > 0):
        yield f"{field} is {value}; expected a small positive number"
