"""The small rungs of "Let's build GPT" on the story in the package: no network, and half a minute in all.

Nobody published losses for this text. Those below are ours, measured once; they show what each part is worth,
and that a change of our code did not change it.
"""

from __future__ import annotations

from dataclasses import replace

from zeropoint.learn.ladders.ladder import Ladder, Stage
from zeropoint.learn.ladders.published import build_gpt

__all__ = ["LADDER"]

_LOSSES = {
    "bigram": 2.3665,
    "head": 2.3024,
    "multi-head": 2.2449,
    "feed-forward": 2.2930,
    "residual": 2.0056,
    "layer-norm": 1.9826,
}

LADDER = Ladder(
    name="harbour",
    source="measured by this project with torch 2.13, seed 1337, on 30 November 2026",
    splits=(0.9, 1.0),
    rungs=tuple(
        replace(rung, stages=(Stage(1000, (_LOSSES[rung.name],), 0.05, minutes=0.1),))
        for rung in build_gpt.LADDER.rungs
        if rung.name in _LOSSES
    ),
    # Without residual connections, the feed-forward layer does not help in so few steps.
    decreasing=tuple(name for name in _LOSSES if name != "feed-forward"),
    text="harbour",
)
