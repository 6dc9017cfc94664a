"""Kitano, "Llama from scratch", 2023, twice: with the faults it was published with, and without.

The losses are those of the notebook in github.com/bkitano/llama-from-scratch; the article has those of an
earlier version, another model. Four versions ran four times: 3.941 to 3.946 for the first rung, 2.506 to
2.535 for the second, 2.449 to 2.519 for the third, so that no tolerance under 0.07 is meaningful. A step is
what the notebook calls an epoch: one batch.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from zeropoint.learn.ladder import Cost, Ladder, Rung, Stage, Training
from zeropoint.learn.llama_from_scratch import HONEST, PUBLISHED, UNMASKED, Block, Faults, Swiglu, rms

__all__ = ["LADDER"]

V, D, T, ROWS, HEADS, LAYERS = 65, 128, 16, 32, 8, 4
_TOLERANCE = 0.07
_LEAKS = "the norm over the window shows the future, and what a model makes of that swings from run to run"


def _model(**parts: nn.Module) -> nn.Sequential:
    """An embedding, and parts one after the other, by name."""
    return nn.Sequential(OrderedDict(embedding=nn.Embedding(V, D), **parts))


def _thought() -> nn.Sequential:
    return nn.Sequential(nn.Linear(D, D), nn.ReLU(), nn.Linear(D, V))


def _start() -> nn.Sequential:
    return _model(head=_thought())


def _broken() -> nn.Sequential:
    return _model(head=_thought(), softmax=nn.Softmax(dim=-1))


def _normed(faults: Faults) -> nn.Sequential:
    return _model(norm=rms(faults, T, D), head=_thought())


def _one_block(faults: Faults, bend: Callable[[], nn.Module]) -> nn.Sequential:
    return _model(block=Block(faults, T, D, HEADS, bend()), head=nn.Linear(D, V))


def _blocks(faults: Faults) -> nn.Sequential:
    blocks = nn.Sequential(*(Block(faults, T, D, HEADS, Swiglu(D)) for _ in range(LAYERS)))
    return _model(blocks=blocks, head=nn.Sequential(nn.Linear(D, D), Swiglu(D), nn.Linear(D, V)))


def _swiglu() -> nn.Module:
    return Swiglu(D)


def _adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), fused=True)


def _cosine_adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-9, weight_decay=0.1, fused=True
    )


def _cosine(step: int) -> float:
    """Down to a hundredth within 300 steps, up again, and so on."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 1) / 300))


def _stage(n_steps: int, *published: float, cost: Cost = "seconds", reason: str = "") -> Stage:
    return Stage(n_steps, published, _TOLERANCE, cost, reason)


def _rung(
    name: str,
    change: str,
    make: Callable[[Faults], nn.Module],
    *stages: Stage,
    training: Training | None = None,
    is_miswired: bool = False,
) -> Rung:
    """A rung with the faults of its day, and without."""
    built, corrected = partial(make, PUBLISHED), partial(make, HONEST)
    return Rung(name, change, built, training or _WIDE, stages, corrected, is_miswired)


_SMALL = Training(T, ROWS, _adam)
_WIDE = Training(T, ROWS, _adam, is_wide=True)
_COSINE = Training(T, ROWS, _cosine_adam, _cosine, is_wide=True)

LADDER = Ladder(
    name="llama",
    source='Kitano, "Llama from scratch", 2023, notebook',
    parts=(0.8, 0.9),
    rungs=(
        Rung(
            "softmax-twice",
            "a feed-forward network whose softmax goes into a cross-entropy that takes it again",
            _broken,
            _SMALL,
            (_stage(1000, 3.942),),
        ),
        Rung("feed-forward", "the softmax taken once", _start, _SMALL, (_stage(1000, 2.506),)),
        _rung("rms-norm", "the embedding normed", _normed, _stage(1000, 2.502), training=_SMALL),
        Rung(
            "no-mask",
            "rotary attention that nothing hides the future from",
            partial(_one_block, UNMASKED, nn.ReLU),
            _WIDE,
            (_stage(1000, 0.162),),
        ),
        _rung(
            "rope-attention",
            "the causal mask",
            partial(_one_block, bend=nn.ReLU),
            _stage(1000, 2.082),
            _stage(6000, 1.899, cost="minutes", reason=_LEAKS),
        ),
        _rung(
            "swiglu",
            "a gate in place of the relu",
            partial(_one_block, bend=_swiglu),
            _stage(5000, 1.896, cost="minutes", reason=_LEAKS),
        ),
        _rung(
            "blocks",
            "four blocks, trained on and on",
            _blocks,
            _stage(5000, 1.553, cost="minutes", reason=_LEAKS),
            _stage(15000, 1.148, cost="night", reason=_LEAKS),
            _stage(25000, 1.000, cost="night", reason=_LEAKS),
        ),
        _rung(
            "cosine",
            "a cosine schedule, and an optimizer that holds the weights of the rung before",
            _blocks,
            _stage(1000, 4.173, 4.180, cost="minutes"),
            training=_COSINE,
            is_miswired=True,
        ),
    ),
)
