"""A trained model in the form that other programs know, or in our own where there is none.

Training leaves out biases that a published family has (nanoGPT's GPT-2); with biases of zero it is the same
model. What no family can say (GELU in full in a GGUF of GPT-2, a position of one's own) becomes a file of our
own family, which zeropoint alone reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.parts.ffn import MLP
from zeropoint.blueprint.parts.norm import LayerNorm, Norm
from zeropoint.blueprint.sources import Rename
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput
from zeropoint.families import Kind, zeropoint
from zeropoint.weights.mapping import LazyTensor, Weights
from zeropoint.weights.open_model import Opened

__all__ = ["fit_for_export"]


def fit_for_export(opened: Opened, kind: Kind, notify: Callable[[str], None]) -> Opened:
    """The same model as `kind` of its family has it: as it is, with biases of zero, or in a GGUF of our own.

    notify: told why where only zeropoint will read it. Raises BadInput where a folder cannot hold it.
    """
    why = ""
    for candidate in (opened, _with_biases(opened)):
        try:
            _to(candidate, kind)
        except BadInput as error:
            why = str(error)
        else:
            return candidate
    if kind == "hf":
        raise BadInput(f"{opened.file.name} has no form as a Hugging Face folder: {why}; use --gguf")
    notify(f"zeropoint alone will read this file: {why}")
    return replace(opened, family=zeropoint)


def _to(opened: Opened, kind: Kind) -> None:
    """Raises BadInput where the family cannot say the blueprint in files of this kind."""
    write = getattr(opened.family, f"to_{kind}", None)
    if write is None:
        raise BadInput(f"the family {opened.blueprint.family} has no published form")
    write(opened.blueprint)


def _with_biases(opened: Opened) -> Opened:
    blueprint = _biased(opened.blueprint)
    lazy = dict(opened.weights.lazy)
    for name, shape in parameters(blueprint).items():
        if name not in lazy:
            lazy[name] = LazyTensor(shape, "F32", lambda shape=shape: np.zeros(shape, np.float32))  # type: ignore[misc]
    sources = {name: Rename(name) for name in lazy}
    return replace(opened, blueprint=blueprint, weights=Weights(lazy), sources=sources)


def _biased(blueprint: Blueprint) -> Blueprint:
    """With a bias wherever a part may have one, but for the head."""
    return replace(
        blueprint,
        blocks=tuple(map(_biased_block, blueprint.blocks)),
        final_norm=_biased_norm(blueprint.final_norm),
    )


def _biased_block(block: Block) -> Block:
    ffn = replace(block.ffn, has_bias=True) if isinstance(block.ffn, MLP) else block.ffn
    return replace(
        block, attention=replace(block.attention, bias="all"), ffn=ffn, norm=_biased_norm(block.norm)
    )


def _biased_norm(norm: Norm | None) -> Norm | None:
    return replace(norm, has_bias=True) if isinstance(norm, LayerNorm) else norm
