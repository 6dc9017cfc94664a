"""A transformer whose weights were set by hand answers all of the article's questions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.handmade.compile import blueprint, weights
from zeropoint.learn.handmade.evaluate import article_texts, evaluate
from zeropoint.learn.handmade.programs import program
from zeropoint.models.build import build, load

__all__ = ["CLAIM"]


def compute() -> Value:
    """Correct answers, then questions."""
    aab = program("aab")
    module = build(blueprint(aab), seed=None)
    load(module, weights(aab))

    def run(ids: Sequence[int]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits_TV: NDArray[np.float32] = module(torch.tensor([list(ids)]))[0].numpy()
        return logits_TV

    accuracy = evaluate(aab, run, article_texts())
    return float(accuracy.n_correct), float(accuracy.n_total)


CLAIM = Claim(
    number="1a",
    description='handmade transformer on "aab" x 10, cut after 2 to 28 characters: correct, total (torch)',
    published=(27.0, 27.0),
    source='Theia Vogel, "I made a transformer by hand (no training!)", 2023',
    explained_by="zeropoint trace handmade:aab aabaab",
    compute=compute,
)
