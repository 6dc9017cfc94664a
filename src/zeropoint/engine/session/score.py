"""How probable a text is under a model, token by token, and what might have stood there instead."""

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
    """What might stand at one place. top: (token id, natural-log probability), most probable first.

    named: the log-probability of each token that was asked for, by its id.
    """

    top: list[tuple[int, float]]
    named: dict[int, float]


@frozen
class Score:
    """A text under a model: its tokens, and the natural-log probability of each given those before it.

    The first token has no probability (None) unless the model puts a begin token before a document.
    alternatives: for each token what might have stood there, where it was asked for; next: what might come
    after the last.
    """

    token_ids: list[int]
    logprobs: list[float | None]
    alternatives: list[Alternatives | None] = field(default_factory=list)
    next: Alternatives | None = None

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-probability of the tokens that have one."""
        known = [p for p in self.logprobs if p is not None]
        if not known:
            raise BadInput("a perplexity needs a text of at least two tokens")
        return math.exp(-sum(known) / len(known))


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
    """The score of `ids` after `start` (a begin token, or nothing). Raises ContextFull, BadInput.

    The rest as in `Model.score`. With alternatives or taps the text is read by `trace`, a few rows of logits
    at a time: memory grows by `top` and `tokens` alone.
    """
    known: list[float | None] = [] if start else [None]
    context = [*start, *ids]
    if not top and not len(tokens) and not len(interventions):
        return Score(list(ids), known + [float(p) for p in engine.score(context)])
    seen = engine.trace(context, lens=LogitLens([n_layers - 1], top, tokens), interventions=interventions)
    rows = seen.lens[0]
    known += [float(p) for p in rows.next_logprobs]
    if not top and not len(tokens):
        return Score(list(ids), known)
    said = [_alternatives(rows, row, tokens) for row in range(len(context))]
    before = [] if start else [None]
    return Score(list(ids), known, [*before, *said[:-1]], said[-1])


def _alternatives(rows: LogitLensRows, row: int, tokens: Sequence[int]) -> Alternatives:
    top = zip(rows.top_ids[row].tolist(), rows.top_logprobs[row].tolist(), strict=True)
    return Alternatives(list(top), dict(zip(tokens, rows.named_logprobs[row].tolist(), strict=True)))


def named_ids(tokenizer: Tokenizer, tokens: Sequence[str | int]) -> list[int]:
    """The ids of tokens given by id or as text (" Paris", with its space). Raises BadInput for others."""
    ids = []
    for token in tokens:
        found = tokenizer.encode(token) if isinstance(token, str) else [token]
        if len(found) != 1:
            pieces = ", ".join(repr(tokenizer.decode([piece])) for piece in found) or "nothing"
            raise BadInput(f"{token!r} is not one token but {pieces}; name a single token")
        ids.append(found[0])
    return ids
