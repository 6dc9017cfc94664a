"""Karpathy, "Let's build GPT: from scratch, in code, spelled out", 2023: from bigrams to a transformer.

All rungs but the last have the lecture's small sizes and train for seconds to minutes; the last is the same
model scaled up. Two sets of losses circulate: from the lecture and its commits (2.5, 2.4, 2.28, 2.24, 2.08,
2.06, 1.48), and from people who followed it (2.49, 2.40, 2.28, 2.27, 2.09, 2.076, 1.48). Sizes and learning
rates come from the commits of github.com/karpathy/ng-video-lecture; each commit is a rung.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.learn.build_gpt import AttentionOnly, Bigram, lecture_blueprint
from zeropoint.learn.claims.published import build_gpt_first_loss
from zeropoint.learn.ladders.ladder import Ladder, Rung, Stage, TrainingSetup
from zeropoint.models.build import build

__all__ = ["LADDER"]

V, D, T, BATCH, HEADS, LAYERS = 65, 32, 8, 32, 4, 3
_TOLERANCE = 0.05


def _adamw(learning_rate: float) -> TrainingSetup:
    return TrainingSetup(
        T, BATCH, lambda model: torch.optim.AdamW(model.parameters(), lr=learning_rate, fused=True)
    )


def _heads(n_heads: int) -> Attention:
    """Scores scaled by d_model^-0.5 instead of d_head^-0.5, as in the lecture's commits (fixed later)."""
    return Attention(n_heads, n_heads, D // n_heads, scale=D**-0.5)


def _attention_only(n_heads: int) -> AttentionOnly:
    return AttentionOnly(V, T, D, _heads(n_heads))


def _with_feed_forward() -> AttentionOnly:
    return AttentionOnly(V, T, D, _heads(HEADS), nn.Sequential(nn.Linear(D, D), nn.ReLU()))


def _blocks(*, has_norms: bool) -> nn.Module:
    """Three blocks with residual connections; initial weights from torch's defaults, as in the commits."""
    blueprint = lecture_blueprint(D, LAYERS, HEADS, T)
    block = blueprint.blocks[0]
    block = block.with_attention(scale=D**-0.5)
    if not has_norms:
        block = replace(block, norm=None)
        blueprint = replace(blueprint, final_norm=None)
    model = build(replace(blueprint, blocks=(block,) * LAYERS), seed=None)
    _initialize_like_torch(model)
    return model


def _initialize_like_torch(model: nn.Module) -> None:
    """Initialize embeddings and head as torch's Embedding and Linear do."""
    bound = D**-0.5
    for name, weight in model.named_parameters():
        if name.startswith("embedding"):
            nn.init.normal_(weight)
        elif name.startswith("head"):
            nn.init.uniform_(weight, -bound, bound)


def _full() -> nn.Module:
    return build(lecture_blueprint(), seed=None, dropout=0.2, attention_dropout=0.2)


def _rung(name: str, change: str, make: Callable[[], nn.Module], *published: float, minutes: float) -> Rung:
    return Rung(name, change, make, _adamw(1e-3), (Stage(5000, published, _TOLERANCE, minutes=minutes),))


def _first_losses(n_batches: int) -> dict[str, float]:
    train, validation = build_gpt_first_loss.first_losses(n_batches)
    return {"train": train, "validation": validation}


def _first_loss_stages(split: str, published: float) -> tuple[Stage, Stage]:
    """One batch, which is close; then all batches, which match the published digits."""
    return (
        Stage(0, (published,), 0.02, split=split, n_batches=1, minutes=0.1),
        Stage(
            0,
            (published,),
            1e-4,
            "minutes",
            split=split,
            n_batches=build_gpt_first_loss.N_BATCHES,
            minutes=20,
        ),
    )


_ONE_BATCH, _ALL_BATCHES = zip(
    _first_loss_stages("train", 4.2221), _first_loss_stages("validation", 4.2306), strict=True
)
_FULL = TrainingSetup(
    256, 64, lambda model: torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True), None, True
)

LADDER = Ladder(
    name="build-gpt",
    source='Karpathy, "Let\'s build GPT", 2023',
    splits=(0.9, 1.0),
    rungs=(
        Rung(
            "first-loss",
            "the full model before training, with weights and batches of torch seed 1337",
            _full,
            _FULL,
            (*_ONE_BATCH, *_ALL_BATCHES),
            untrained_losses=_first_losses,
        ),
        Rung(
            "bigram",
            "a table of next-character logits",
            lambda: Bigram(V),
            _adamw(1e-2),
            (Stage(3000, (2.49, 2.5), _TOLERANCE, minutes=0.1),),
        ),
        _rung(
            "head",
            "embeddings, positions and one attention head",
            lambda: _attention_only(1),
            2.40,
            minutes=0.2,
        ),
        _rung(
            "multi-head",
            "four heads, each a quarter of the width",
            lambda: _attention_only(HEADS),
            2.28,
            minutes=0.5,
        ),
        _rung(
            "feed-forward",
            "a linear layer with ReLU after the heads",
            _with_feed_forward,
            2.27,
            2.24,
            minutes=0.3,
        ),
        _rung(
            "residual",
            "three blocks with residual connections, output projections, a hidden layer 4x as wide",
            lambda: _blocks(has_norms=False),
            2.09,
            2.08,
            minutes=0.7,
        ),
        _rung(
            "layer-norm",
            "layer norm before each sublayer and after the last block",
            lambda: _blocks(has_norms=True),
            2.076,
            2.06,
            minutes=0.7,
        ),
        Rung(
            "full",
            "six blocks of width 384, context 256, dropout",
            _full,
            _FULL,
            (Stage(5000, (1.48,), _TOLERANCE, "night", minutes=600),),
            recipe="build-gpt",
        ),
    ),
    decreasing=("bigram", "head", "multi-head", "feed-forward", "residual", "layer-norm", "full"),
)
