"""Inspect one text: logit lens, token probabilities and attention, as tables or as JSON values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.blueprint.interventions import Intervention
from zeropoint.engine.contract import LogitLens, LogitLensRows, Tap
from zeropoint.engine.tap_requests import check_layer
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model

__all__ = ["Report", "ReportOptions", "Table", "report"]


@dataclass(frozen=True)
class ReportOptions:
    """What to show. heads: (layer, head) pairs; top: most probable tokens per position; tokens: further
    tokens, as text.

    at: position whose logit lens is shown, by default the last.
    """

    has_lens: bool = False
    has_logprobs: bool = False
    heads: Sequence[tuple[int, int]] = ()
    top: int = 5
    tokens: Sequence[str] = ()
    at: int | None = None


@dataclass(frozen=True)
class Table:
    """Rows under headers, with a title."""

    title: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Report:
    """The results. texts, ids: tokens of the text; named: ids of the requested tokens; spelled: token ids to
    text.

    lens: rows of all layers, empty unless requested; last: rows of the last layer. attention: (layer, head)
    to weights [T, T].
    """

    options: ReportOptions
    texts: list[str]
    ids: list[int]
    named: list[int]
    at: int
    spelled: dict[int, str]
    lens: list[LogitLensRows]
    last: LogitLensRows
    attention: dict[tuple[int, int], NDArray[np.float32]]

    def tables(self) -> Iterator[Table]:
        """One table per requested view."""
        if self.options.has_lens:
            yield self._lens_table()
        if self.options.has_logprobs:
            yield self._logprobs_table()
        for (layer, head), weights_TT in self.attention.items():
            yield self._attention_table(layer, head, weights_TT)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values: probabilities as natural logarithms, attention weights unabridged."""
        values: dict[str, Any] = {
            "tokens": [{"id": i, "text": t} for i, t in zip(self.ids, self.texts, strict=True)]
        }
        if self.options.has_lens:
            values["lens"] = {
                "position": self.at,
                "layers": [{"layer": rows.layer, **self._position(rows, self.at)} for rows in self.lens],
            }
        if self.options.has_logprobs:
            logprobs = [None, *self.last.next_logprobs.tolist()]
            positions = [None, *(self._position(self.last, row) for row in range(len(self.ids)))]
            values["logprobs"] = logprobs
            values["alternatives"] = positions[:-1]
            values["next"] = positions[-1]
        if self.attention:
            values["attention"] = [
                {"layer": layer, "head": head, "weights": weights.tolist()}
                for (layer, head), weights in self.attention.items()
            ]
        return values

    def _position(self, rows: LogitLensRows, row: int) -> dict[str, Any]:
        top = zip(rows.top_ids[row].tolist(), rows.top_logprobs[row].tolist(), strict=True)
        return {
            "top": [{"id": i, "text": self.spelled[i], "logprob": p} for i, p in top],
            "requested": [
                {"id": i, "text": self.spelled[i], "logprob": p}
                for i, p in zip(self.named, rows.named_logprobs[row].tolist(), strict=True)
            ],
        }

    def _lens_table(self) -> Table:
        rows = [(str(rows.layer), *self._cells(rows, self.at)) for rows in self.lens]
        return Table(f"after {self.texts[self.at]!r}, layer by layer", ("layer", *self._headers()), rows)

    def _logprobs_table(self) -> Table:
        scores = ["", *(_percent(p) for p in self.last.next_logprobs.tolist()), ""]
        blank = ("",) * (1 + len(self.named))
        cells = [blank, *(self._cells(self.last, row) for row in range(len(self.ids)))]
        texts = [*(repr(text) for text in self.texts), "(next)"]
        rows = [(t, s, *c) for t, s, c in zip(texts, scores, cells, strict=True)]
        return Table("each token, given those before it", ("token", "probability", *self._headers()), rows)

    def _attention_table(self, layer: int, head: int, weights_TT: NDArray[np.float32]) -> Table:
        rows: list[tuple[str, ...]] = []
        for query, weights in enumerate(weights_TT):
            top = np.argsort(-weights[: query + 1], kind="stable")[: self.options.top]
            keys = "  ".join(f"{key}:{self.texts[key]!r} {weights[key]:.2f}" for key in top.tolist())
            rows.append((f"{query}:{self.texts[query]!r}", keys))
        return Table(f"attention of layer {layer}, head {head}", ("token", "attends to"), rows)

    def _headers(self) -> tuple[str, ...]:
        return "most probable", *(repr(self.spelled[i]) for i in self.named)

    def _cells(self, rows: LogitLensRows, row: int) -> tuple[str, ...]:
        top = zip(rows.top_ids[row].tolist(), rows.top_logprobs[row].tolist(), strict=True)
        best = "  ".join(f"{self.spelled[i]!r} {_percent(p)}" for i, p in top)
        return best, *(_percent(p) for p in rows.named_logprobs[row].tolist())


def report(
    model: Model, text: str, options: ReportOptions, interventions: Sequence[Intervention] = ()
) -> Report:
    """Read the text in one forward pass and collect the requested views. Raises BadInput, ContextFull."""
    from zeropoint.engine.session.score import named_ids

    b, named = model.blueprint, named_ids(model.tokenizer, options.tokens)
    for layer, _ in options.heads:
        check_layer(b, layer)
    heads: dict[int, list[int]] = {}
    for layer, head in dict.fromkeys(options.heads):
        heads.setdefault(layer, []).append(head)
    taps = [Tap(_weights(layer), indices) for layer, indices in heads.items()]
    layers = range(b.n_layers) if options.has_lens else [b.n_layers - 1]
    trace = model.trace(
        text, taps, lens=LogitLens(list(layers), options.top, named), interventions=interventions
    )
    n_tokens = len(trace.token_ids)
    at = n_tokens - 1 if options.at is None else options.at
    if not 0 <= at < n_tokens:
        raise BadInput(f"--at is {at}; the text has tokens 0 to {n_tokens - 1}")
    listed = {i for rows in trace.lens for i in rows.top_ids.ravel().tolist()}
    spelled = {i: model.detokenize([i]) for i in listed | set(named) | set(trace.token_ids)}
    return Report(
        options,
        [spelled[i] for i in trace.token_ids],
        trace.token_ids,
        named,
        at,
        spelled,
        trace.lens if options.has_lens else [],
        trace.lens[-1],
        {(at, head): trace[_weights(at)][heads[at].index(head)] for at, head in dict.fromkeys(options.heads)},
    )


def _weights(layer: int) -> str:
    return f"blocks.{layer}.attention.weights"


def _percent(logprob: float) -> str:
    return f"{100 * math.exp(logprob):.1f}%"
