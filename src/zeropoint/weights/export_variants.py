"""Express a trained model as a published architecture, so that other programs can read it.

A model trained without biases that its family has (nanoGPT's GPT-2) is exported with biases of zero, which is
the same model. A model that no family can express (exact GELU in a GGUF of GPT-2, a custom positional
encoding) becomes a GGUF of the `zeropoint` architecture, which only zeropoint reads.
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
from zeropoint.weights.open_model import OpenedModel

__all__ = ["export_variant"]


def export_variant(opened: OpenedModel, kind: Kind, notify: Callable[[str], None]) -> OpenedModel:
    """The same model in a form that files of `kind` can express: unchanged, with zero biases, or as ours.

    notify: called with the reason if only zeropoint will be able to read the file. Raises BadInput for a
    model that a Hugging Face folder cannot express.
    """
    reason = ""
    for candidate in (opened, _with_biases(opened)):
        try:
            _check_family(candidate, kind)
        except BadInput as error:
            reason = str(error)
        else:
            return candidate
    if kind == "hf":
        raise BadInput(f"{opened.file.name} cannot become a Hugging Face folder: {reason}; use --gguf")
    notify(f"only zeropoint can open this file: {_gelu_reason(opened) or reason}")
    return replace(opened, family=zeropoint)


def _gelu_reason(opened: OpenedModel) -> str:
    """The reason and the remedy for the usual case, a GPT-2 trained with exact GELU; "" for others."""
    networks = [block.ffn for block in opened.blueprint.blocks]
    if opened.blueprint.family != "gpt2" or not any(
        isinstance(ffn, MLP) and ffn.activation == "gelu" for ffn in networks
    ):
        return ""
    return (
        "the model uses the activation gelu, and other programs compute a GPT-2 in a GGUF file with "
        "gelu_tanh, an approximation; to share it with them, export with --hf, or train with "
        "--set model.activation=gelu_tanh"
    )


def _check_family(opened: OpenedModel, kind: Kind) -> None:
    """Raise BadInput if the family cannot express the blueprint in files of this kind."""
    write = getattr(opened.family, f"to_{kind}", None)
    if write is None:
        raise BadInput(f"the family {opened.blueprint.family} has no published file format")
    write(opened.blueprint)


def _with_biases(opened: OpenedModel) -> OpenedModel:
    blueprint = _biased(opened.blueprint)
    lazy = dict(opened.weights.lazy)
    for name, shape in parameters(blueprint).items():
        if name not in lazy:
            lazy[name] = LazyTensor(shape, "F32", lambda shape=shape: np.zeros(shape, np.float32))  # type: ignore[misc]
    sources = {name: Rename(name) for name in lazy}
    return replace(opened, blueprint=blueprint, weights=Weights(lazy), sources=sources)


def _biased(blueprint: Blueprint) -> Blueprint:
    """The blueprint with a bias in every part that may have one, except the head."""
    return replace(
        blueprint,
        blocks=tuple(map(_biased_block, blueprint.blocks)),
        final_norm=_biased_norm(blueprint.final_norm),
    )


def _biased_block(block: Block) -> Block:
    ffn = replace(block.ffn, has_bias=True) if isinstance(block.ffn, MLP) else block.ffn
    return replace(block.with_attention(bias="all"), ffn=ffn, norm=_biased_norm(block.norm))


def _biased_norm(norm: Norm | None) -> Norm | None:
    return replace(norm, has_bias=True) if isinstance(norm, LayerNorm) else norm
