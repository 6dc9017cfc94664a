"""Score a text: the log-probability of each token, and of its alternatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field

from zeropoint.blueprint.interventions import Intervention
from zeropoint.engine.contract import Engine, LogitLens, LogitLensRows
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.tokenizer import Tokenizer

__all__ = ["Alternatives", "Score", "named_ids", "score"]


@frozen
class Alternatives:
    """Predictions at one position. top: (token id, natural-log probability), most probable first.

    named: token id to log-probability, for each requested token.
    """

    top: list[tuple[int, float]]
    named: dict[int, float]


@frozen
class Score:
    """The tokens of a text, and the natural-log probability of each given those before it.

    The first token has no probability (None) unless the model begins a document with a BOS token.
    alternatives: the predictions at each token's position, if requested; next: those after the last token.
    """

    token_ids: list[int]
    logprobs: list[float | None]
    alternatives: list[Alternatives | None] = field(default_factory=list)
    next: Alternatives | None = None

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-probability, over the tokens that have one. Raises BadInput."""
        logprobs = [p for p in self.logprobs if p is not None]
        if not logprobs:
            raise BadInput("perplexity needs at least two tokens; give a longer text")
        return math.exp(-sum(logprobs) / len(logprobs))


def score(
    engine: Engine,
    ids: Sequence[int],
    start: Sequence[int],
    n_layers: int,
    *,
    top: int = 0,
    tokens: Sequence[int] = (),
    interventions: Sequence[Intervention] = (),
) -> Score:
    """Score `ids` after `start` (a BOS token, or nothing). Raises ContextFull, BadInput.

    The other arguments are those of `Model.score`. Alternatives and interventions need `trace`, which
    computes a few rows of logits at a time: memory grows with `top` and `tokens` only.
    """
    logprobs: list[float | None] = [] if start else [None]
    context = [*start, *ids]
    if not top and not len(tokens) and not len(interventions):
        return Score(list(ids), logprobs + [float(p) for p in engine.score(context)])
    lens = LogitLens([n_layers - 1], top, tokens)  # after the last layer: the model's prediction
    rows = engine.trace(context, lens=lens, interventions=interventions).lens[0]
    logprobs += [float(p) for p in rows.next_logprobs]
    if not top and not len(tokens):
        return Score(list(ids), logprobs)
    predictions = [_alternatives(rows, row, tokens) for row in range(len(context))]
    first = [] if start else [None]
    return Score(list(ids), logprobs, [*first, *predictions[:-1]], predictions[-1])


def _alternatives(rows: LogitLensRows, row: int, tokens: Sequence[int]) -> Alternatives:
    top = zip(rows.top_ids[row].tolist(), rows.top_logprobs[row].tolist(), strict=True)
    return Alternatives(list(top), dict(zip(tokens, rows.named_logprobs[row].tolist(), strict=True)))


def named_ids(tokenizer: Tokenizer, tokens: Sequence[str | int]) -> list[int]:
    """The ids of tokens given by id or as text (" Paris", with its space).

    Raises BadInput for a text that is not a single token.
    """
    ids = []
    for token in tokens:
        encoded = tokenizer.encode(token) if isinstance(token, str) else [token]
        if len(encoded) != 1:
            pieces = ", ".join(repr(tokenizer.decode([piece])) for piece in encoded) or "nothing"
            raise BadInput(f"{token!r} is not one token but {pieces}; name a single token")
        ids.append(encoded[0])
    return ids
