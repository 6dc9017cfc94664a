"""Kitano, "Llama from scratch", 2023, twice: with the bugs it was published with, and without them.

The losses come from the notebook in github.com/bkitano/llama-from-scratch; the article prints those of an
earlier version, a different model. Four versions of the notebook give 3.941 to 3.946 for the first rung,
2.506 to 2.535 for the second and 2.449 to 2.519 for the third, so a tolerance below 0.07 has no meaning. A
step is what the notebook calls an epoch: one batch.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from zeropoint.learn.ladders.ladder import Cost, Ladder, Rung, Stage, TrainingSetup
from zeropoint.learn.llama_from_scratch import CORRECTED, PUBLISHED, UNMASKED, Block, Bugs, SwiGLU, make_norm

__all__ = ["LADDER"]

V, D, T, BATCH, HEADS, LAYERS = 65, 128, 16, 32, 8, 4
_TOLERANCE = 0.07
_LEAKS = "the norm over the window leaks future tokens; how well a model exploits that varies by run"


def _model(**parts: nn.Module) -> nn.Sequential:
    """An embedding followed by named parts, in sequence."""
    return nn.Sequential(OrderedDict(embedding=nn.Embedding(V, D), **parts))


def _feed_forward() -> nn.Sequential:
    return nn.Sequential(nn.Linear(D, D), nn.ReLU(), nn.Linear(D, V))


def _start() -> nn.Sequential:
    return _model(head=_feed_forward())


def _broken() -> nn.Sequential:
    return _model(head=_feed_forward(), softmax=nn.Softmax(dim=-1))


def _normed(bugs: Bugs) -> nn.Sequential:
    return _model(norm=make_norm(bugs, T, D), head=_feed_forward())


def _one_block(bugs: Bugs, activation: Callable[[], nn.Module]) -> nn.Sequential:
    return _model(block=Block(bugs, T, D, HEADS, activation()), head=nn.Linear(D, V))


def _blocks(bugs: Bugs) -> nn.Sequential:
    blocks = nn.Sequential(*(Block(bugs, T, D, HEADS, SwiGLU(D)) for _ in range(LAYERS)))
    return _model(blocks=blocks, head=nn.Sequential(nn.Linear(D, D), SwiGLU(D), nn.Linear(D, V)))


def _swiglu() -> nn.Module:
    return SwiGLU(D)


def _adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), fused=True)


def _cosine_adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-9, weight_decay=0.1, fused=True
    )


def _cosine(step: int) -> float:
    """Cosine between 1 and 0.01 of the learning rate, with a half-period of 300 steps."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 1) / 300))


def _stage(
    n_steps: int, *published: float, cost: Cost = "seconds", reason: str = "", minutes: float
) -> Stage:
    return Stage(n_steps, published, _TOLERANCE, cost, reason, minutes=minutes)


def _rung(
    name: str,
    change: str,
    make: Callable[[Bugs], nn.Module],
    *stages: Stage,
    training: TrainingSetup | None = None,
    has_stale_optimizer: bool = False,
) -> Rung:
    """A rung built with the published bugs and, as `corrected`, without them."""
    published, corrected = partial(make, PUBLISHED), partial(make, CORRECTED)
    return Rung(name, change, published, training or _WIDE, stages, corrected, has_stale_optimizer)


_SMALL = TrainingSetup(T, BATCH, _adam)
_WIDE = TrainingSetup(T, BATCH, _adam, uses_all_threads=True)
_COSINE = TrainingSetup(T, BATCH, _cosine_adam, _cosine, uses_all_threads=True)

LADDER = Ladder(
    name="llama",
    source='Kitano, "Llama from scratch", 2023, notebook',
    splits=(0.8, 0.9),
    rungs=(
        Rung(
            "softmax-twice",
            "a feed-forward network with a softmax before a cross-entropy that applies softmax again",
            _broken,
            _SMALL,
            (_stage(1000, 3.942, minutes=0.1),),
        ),
        Rung("feed-forward", "softmax applied once", _start, _SMALL, (_stage(1000, 2.506, minutes=0.1),)),
        _rung(
            "rms-norm",
            "RMSNorm after the embedding",
            _normed,
            _stage(1000, 2.502, minutes=0.2),
            training=_SMALL,
        ),
        Rung(
            "no-mask",
            "rotary attention without a causal mask",
            partial(_one_block, UNMASKED, nn.ReLU),
            _WIDE,
            (_stage(1000, 0.162, minutes=0.5),),
        ),
        _rung(
            "rope-attention",
            "the causal mask",
            partial(_one_block, activation=nn.ReLU),
            _stage(1000, 2.082, minutes=1),
            _stage(6000, 1.899, cost="minutes", reason=_LEAKS, minutes=6),
        ),
        _rung(
            "swiglu",
            "SwiGLU instead of ReLU",
            partial(_one_block, activation=_swiglu),
            _stage(5000, 1.896, cost="minutes", reason=_LEAKS, minutes=5),
        ),
        _rung(
            "blocks",
            "four blocks, trained for longer",
            _blocks,
            _stage(5000, 1.553, cost="minutes", reason=_LEAKS, minutes=25),
            _stage(15000, 1.148, cost="night", reason=_LEAKS, minutes=75),
            _stage(25000, 1.000, cost="night", reason=_LEAKS, minutes=120),
        ),
        _rung(
            "cosine",
            "a cosine schedule, and an optimizer built from the weights of the previous rung's model",
            _blocks,
            _stage(1000, 4.173, 4.180, cost="minutes", minutes=5),
            training=_COSINE,
            has_stale_optimizer=True,
        ),
    ),
)
