"""Weight initialization, seeded so that a run can be repeated.

| scheme | matrices and embedding | matrices that write to the residual stream | biases, gains |
|---|---|---|---|
| normal (GPT-2) | N(0, 0.02) | N(0, 0.02 / sqrt(n)), n sublayers in the stack | 0, 1 |
| xavier (2017) | U(-a, a), a = sqrt(6 / (in + out)) | the same | 0, 1 |

normal: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.3; without the
division, the variance of the residual stream would grow with every sublayer that adds to it. xavier: Glorot
and Bengio, 2010, applied as in "The Annotated Transformer", to every parameter with more than one axis.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.layers.recurrence import RecurrentLayer
from zeropoint.models.decoder import Decoder
from zeropoint.models.encoder import Encoder
from zeropoint.models.seq2seq import Seq2Seq

__all__ = ["Initialization", "initialize"]

Initialization = Literal["normal", "xavier"]

_STD = 0.02
_WRITES_TO_STREAM = (
    "attention.output.weight",
    "recurrence.output.weight",
    "ffn.down.weight",
    "ffn.experts.down.weight",
)


@torch.no_grad()
def initialize(module: Decoder | Encoder | Seq2Seq, seed: int, init: Initialization | None = None) -> None:
    """Draw every parameter, in the order of names. The same seed gives the same weights.

    init: by default xavier for post-norm models with an encoder (the 2017 Transformer), else normal.
    """
    blueprint = module.blueprint
    generator = torch.Generator().manual_seed(seed)
    is_2017 = bool(blueprint.encoder) and blueprint.blocks[0].placement == "post"
    init = init or ("xavier" if is_2017 else "normal")
    for name, parameter in sorted(module.named_parameters()):
        if parameter.dim() < 2 or name.endswith("bias"):
            parameter.fill_(_gain(name, blueprint))
        elif init == "xavier":
            bound = math.sqrt(6 / (parameter.shape[-1] + parameter.shape[-2]))
            _draw(parameter, generator, bound=bound)
        else:
            _draw(parameter, generator, std=_std(name, blueprint))
    for part in module.modules():
        if isinstance(part, RecurrentLayer):
            part.initialize(generator)


def _std(name: str, blueprint: Blueprint) -> float:
    if not name.endswith(_WRITES_TO_STREAM):
        return _STD
    block = blueprint.encoder[0] if name.startswith("encoder.") else blueprint.blocks[0]
    n_blocks = len(blueprint.encoder) if name.startswith("encoder.") else len(blueprint.blocks)
    n_sublayers = 2 if block.cross_attention is None else 3
    return _STD / math.sqrt(n_sublayers * n_blocks)


def _gain(name: str, blueprint: Blueprint) -> float:
    """1 for the gain of a norm (0 if the norm stores gain - 1), 0 for every bias and sink logit."""
    if name.endswith(("bias", "attention.sink.weight")):
        return 0.0
    spec = blueprint.blocks[0].norm
    return 0.0 if isinstance(spec, RMSNorm) and spec.is_offset else 1.0


def _draw(parameter: Tensor, generator: torch.Generator, *, std: float = 0.0, bound: float = 0.0) -> None:
    """Draw on the CPU, so that a seed gives the same weights on every device."""
    drawn = torch.empty(parameter.shape)
    if std:
        drawn.normal_(0.0, std, generator=generator)
    else:
        drawn.uniform_(-bound, bound, generator=generator)
    parameter.copy_(drawn)
