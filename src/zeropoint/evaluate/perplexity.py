"""The perplexity of a text: how many tokens a model hesitates between, on average."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model

__all__ = ["LONGEST_TOKEN", "Perplexity", "perplexity"]

LONGEST_TOKEN = 16  # characters; hardly a token has more, so a book need not be encoded for a page


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log-probability (natural) of n_tokens tokens."""

    value: float
    n_tokens: int


def perplexity(model: Model, text: str, *, window: int = 1024, n_tokens: int | None = None) -> Perplexity:
    """Over windows of so many tokens, which know nothing of each other, up to n_tokens of the text.

    The first token of a window has no probability. Raises BadInput for a text of fewer than two tokens.
    """
    ids = model.tokenize(text if n_tokens is None else text[: LONGEST_TOKEN * n_tokens])[:n_tokens]
    if len(ids) < 2:
        raise BadInput("a perplexity needs a text of at least two tokens")
    window = min(window, model.engine.n_ctx)
    total, n = 0.0, 0
    for start in range(0, len(ids) - 1, window):
        known = [p for p in model.score(ids[start : start + window]).logprobs if p is not None]
        total += sum(known)
        n += len(known)
    return Perplexity(math.exp(-total / n), n)
