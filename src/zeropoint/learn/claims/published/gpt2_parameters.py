"""GPT-2 124M: the parameter counts of three variants that books print."""

from __future__ import annotations

from dataclasses import replace

from zeropoint.blueprint import Blueprint, Head, catalog
from zeropoint.blueprint.cost import count_parameters
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """As published; without query, key and value biases and untied; without those biases and tied."""
    gpt2 = catalog.load("gpt2")
    tied = _without_qkv_bias(gpt2)
    untied = replace(tied, head=Head(is_tied=False))
    return tuple(float(count_parameters(blueprint)) for blueprint in (gpt2, untied, tied))


def _without_qkv_bias(blueprint: Blueprint) -> Blueprint:
    blocks = tuple(b.with_attention(bias="output") for b in blueprint.blocks)
    return replace(blueprint, blocks=blocks)


CLAIM = Claim(
    number="11a",
    description="GPT-2 124M: parameters; without QKV bias, untied; without QKV bias, tied",
    published=(124_439_808.0, 163_009_536.0, 124_412_160.0),
    source="Karpathy, llm.c; Raschka, LLMs-from-scratch, chapter 4",
    explained_by="python -m pydoc zeropoint.blueprint.cost",
    compute=compute,
)
