"""Perplexity of a text: exp of the mean negative log-probability per token."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model

__all__ = ["MAX_TOKEN_CHARS", "Perplexity", "perplexity"]

MAX_TOKEN_CHARS = 16  # few tokens are longer, so n tokens need only the first 16 n characters of a text


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log-probability (natural) of n_tokens tokens."""

    value: float
    n_tokens: int


def perplexity(model: Model, text: str, *, window: int = 1024, n_tokens: int | None = None) -> Perplexity:
    """Perplexity over independent windows of `window` tokens, up to n_tokens tokens of the text.

    The first token of a window has no context and does not count. Raises BadInput for fewer than two tokens.
    """
    ids = model.tokenize(text if n_tokens is None else text[: MAX_TOKEN_CHARS * n_tokens])[:n_tokens]
    if len(ids) < 2:
        raise BadInput("perplexity needs a text of at least two tokens")
    window = min(window, model.engine.n_ctx)
    total, n = 0.0, 0
    for start in range(0, len(ids) - 1, window):
        logprobs = [p for p in model.score(ids[start : start + window]).logprobs if p is not None]
        total += sum(logprobs)
        n += len(logprobs)
    return Perplexity(math.exp(-total / n), n)
