"""Score a text: the log-probability of each token, and of its alternatives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from zeropoint.blueprint.interventions import Intervention
from zeropoint.engine.contract import Engine, LogitLens, LogitLensRows
from zeropoint.engine.session.results import count, percent, probability_cell
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.tokenizer import Tokenizer

if TYPE_CHECKING:
    from zeropoint.markup import Cell

__all__ = ["Alternatives", "Score", "alternatives_at", "named_ids", "score"]

_MAX_ROWS = 200  # of the table in a notebook


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
    spelling: the text of every token id that occurs. A notebook shows a score as a table.
    """

    token_ids: list[int]
    logprobs: list[float | None]
    alternatives: list[Alternatives | None] = field(default_factory=list)
    next: Alternatives | None = None
    spelling: Mapping[int, str] = field(default_factory=dict)

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-probability, over the tokens that have one. Raises BadInput."""
        logprobs = [p for p in self.logprobs if p is not None]
        if not logprobs:
            raise BadInput("perplexity needs at least two tokens; give a longer text")
        return math.exp(-sum(logprobs) / len(logprobs))

    @property
    def texts(self) -> list[str]:
        """The text of each token."""
        return [self.spelling[index] for index in self.token_ids]

    def ids(self) -> set[int]:
        """Every token id that occurs, those of alternatives included."""
        predictions = [p for p in (*self.alternatives, self.next) if p is not None]
        return {*self.token_ids}.union(*({*dict(p.top), *p.named} for p in predictions))

    def __repr__(self) -> str:
        return f"<Score: {self._summary()}>"

    def _repr_html_(self) -> str:
        from zeropoint import markup

        return markup.styled(self.table())

    def table(self) -> str:
        """A table as markup: each token with its probability, and the alternatives if there are any."""
        from zeropoint import markup

        named = list(self.next.named) if self.next else []
        headers = ["token", "probability"]
        if self.next is not None:
            headers += ["most probable", *(repr(self.spelling[index]) for index in named)]
        rows = [
            (repr(text), probability_cell(logprob), *self._alternatives_cells(at))
            for at, (text, logprob) in enumerate(zip(self.texts, self.logprobs, strict=True))
        ]
        if self.next is not None:
            rows.append(("(next)", "", *self._prediction_cells(self.next)))
        shown = rows if len(rows) <= _MAX_ROWS else [*rows[:_MAX_ROWS], ("\u2026", "")]
        hidden = f"; the first {_MAX_ROWS}" if shown is not rows else ""
        return markup.table(shown, headers, f"each token, given those before it: {self._summary()}{hidden}")

    def _summary(self) -> str:
        tokens = count(len(self.token_ids), "token")
        has_any = any(p is not None for p in self.logprobs)
        return f"{tokens}, perplexity {self.perplexity:.4g}" if has_any else tokens

    def _alternatives_cells(self, at: int) -> list[str | Cell]:
        if not self.alternatives:
            return []
        prediction = self.alternatives[at]
        n_named = len(self.next.named) if self.next else 0
        return [""] * (1 + n_named) if prediction is None else self._prediction_cells(prediction)

    def _prediction_cells(self, prediction: Alternatives) -> list[str | Cell]:
        best = "  ".join(f"{self.spelling[index]!r} {percent(p)}" for index, p in prediction.top)
        return [best, *(probability_cell(p) for p in prediction.named.values())]


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
    predictions = [alternatives_at(rows, row, tokens) for row in range(len(context))]
    first = [] if start else [None]
    return Score(list(ids), logprobs, [*first, *predictions[:-1]], predictions[-1])


def alternatives_at(rows: LogitLensRows, row: int, tokens: Sequence[int]) -> Alternatives:
    """The predictions after the token of a row. tokens: the ids that the rows name."""
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
