"""Karpathy, "Let's build GPT: from scratch, in code, spelled out", 2023: from a table to a transformer.

Every rung but the last has the lecture's small sizes and was trained by it for minutes; the last is the same
model scaled up. Two rows of losses circulate: those of the lecture and its commits (2.5, 2.4, 2.28, 2.24,
2.08, 2.06, 1.48), and those of people who followed it (2.49, 2.40, 2.28, 2.27, 2.09, 2.076, 1.48). Sizes and
rates are those of the commits of github.com/karpathy/ng-video-lecture, of which one is a rung.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.learn.build_gpt import Bigram, Chain
from zeropoint.learn.claims import build_gpt_first_loss
from zeropoint.learn.claims._build_gpt import lecture_blueprint
from zeropoint.learn.ladder import Ladder, Rung, Stage, Training
from zeropoint.models.build import build

__all__ = ["LADDER"]

V, D, T, ROWS, HEADS, LAYERS = 65, 32, 8, 32, 4, 3
_TOLERANCE = 0.05


def _adamw(rate: float) -> Training:
    return Training(T, ROWS, lambda model: torch.optim.AdamW(model.parameters(), lr=rate, fused=True))


def _heads(n_heads: int) -> Attention:
    """Scores times d_model^-0.5, not d_head^-0.5: so the lecture's commits have it, corrected after them."""
    return Attention(n_heads, n_heads, D // n_heads, scale=D**-0.5)


def _chain(n_heads: int) -> Chain:
    return Chain(V, T, D, _heads(n_heads))


def _thinking_chain() -> Chain:
    return Chain(V, T, D, _heads(HEADS), nn.Sequential(nn.Linear(D, D), nn.ReLU()))


def _blocks(*, has_norms: bool) -> nn.Module:
    """Three blocks with residuals; the first weights are torch's own, as the lecture then had them."""
    blueprint = lecture_blueprint(D, LAYERS, HEADS, T)
    block = blueprint.blocks[0]
    block = replace(block, attention=replace(block.attention, scale=D**-0.5))
    if not has_norms:
        block = replace(block, norm=None)
        blueprint = replace(blueprint, final_norm=None)
    model = build(replace(blueprint, blocks=(block,) * LAYERS), seed=None)
    _draw_as_torch(model)
    return model


def _draw_as_torch(model: nn.Module) -> None:
    """The tables and the head begin as torch's own Embedding and Linear do."""
    bound = D**-0.5
    for name, weight in model.named_parameters():
        if name.startswith("embedding"):
            nn.init.normal_(weight)
        elif name.startswith("head"):
            nn.init.uniform_(weight, -bound, bound)


def _full() -> nn.Module:
    return build(lecture_blueprint(), seed=None, dropout=0.2, attention_dropout=0.2)


def _rung(name: str, change: str, make: Callable[[], nn.Module], *published: float) -> Rung:
    return Rung(name, change, make, _adamw(1e-3), (Stage(5000, published, _TOLERANCE),))


def _first_losses(n_batches: int) -> dict[str, float]:
    train, validation = build_gpt_first_loss.first_losses(n_batches)
    return {"train": train, "validation": validation}


def _first(of: str, published: float) -> tuple[Stage, Stage]:
    """Of one batch, which lies near; and of all, which gives the digits."""
    return (
        Stage(0, (published,), 0.02, of=of, n_batches=1),
        Stage(0, (published,), 1e-4, "minutes", of=of, n_batches=build_gpt_first_loss.N_BATCHES),
    )


_FEW, _ALL = zip(_first("train", 4.2221), _first("validation", 4.2306), strict=True)
_FULL = Training(
    256, 64, lambda model: torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True), None, True
)

LADDER = Ladder(
    name="build-gpt",
    source='Karpathy, "Let\'s build GPT", 2023',
    parts=(0.9, 1.0),
    rungs=(
        Rung(
            "first-loss",
            "the full model before training, weights and batches of torch's seed 1337",
            _full,
            _FULL,
            (*_FEW, *_ALL),
            untrained=_first_losses,
        ),
        Rung(
            "bigram",
            "a table of which character follows which",
            lambda: Bigram(V),
            _adamw(1e-2),
            (Stage(3000, (2.49, 2.5), _TOLERANCE),),
        ),
        _rung("head", "embedding, positions, one head of self-attention", lambda: _chain(1), 2.40),
        _rung("multi-head", "four heads of a quarter of the width", lambda: _chain(HEADS), 2.28),
        _rung("feed-forward", "a layer with relu after the heads", _thinking_chain, 2.27, 2.24),
        _rung(
            "residual",
            "three blocks that add to the stream, projections, a hidden layer four times as wide",
            lambda: _blocks(has_norms=False),
            2.09,
            2.08,
        ),
        _rung(
            "layer-norm",
            "norms before each part and after the last",
            lambda: _blocks(has_norms=True),
            2.076,
            2.06,
        ),
        Rung(
            "full",
            "six blocks of width 384, windows of 256, dropout",
            _full,
            _FULL,
            (Stage(5000, (1.48,), _TOLERANCE, "night"),),
            recipe="build-gpt",
        ),
    ),
    ordered=("bigram", "head", "multi-head", "feed-forward", "residual", "layer-norm", "full"),
)
