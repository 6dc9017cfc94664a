"""Inspect one text: logit lens, token probabilities and attention, as tables, as JSON values or drawn.

A notebook shows a `Report` with the views of `page.py`, which also writes them to a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.blueprint.interventions import Intervention
from zeropoint.engine.contract import LogitLens, LogitLensRows, Tap, Trace
from zeropoint.engine.session.prompt_ids import text_ids
from zeropoint.engine.session.results import AttentionResult, LensResult
from zeropoint.engine.session.score import Score, alternatives_at, named_ids
from zeropoint.engine.tap_requests import check_layer
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model

__all__ = ["Report", "ReportOptions", "Table", "report"]


@dataclass(frozen=True)
class ReportOptions:
    """What to show. heads: (layer, head) pairs; top: most probable tokens per position; tokens: further
    tokens, as text.

    has_overview: the attention of every head of every layer, which only a drawing shows. at: position whose
    logit lens is listed, by default the last. max_tokens: reject a longer text; None for no limit.
    """

    has_lens: bool = False
    has_logprobs: bool = False
    has_overview: bool = False
    heads: Sequence[tuple[int, int]] = ()
    top: int = 5
    tokens: Sequence[str] = ()
    at: int | None = None
    max_tokens: int | None = None


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
    to weights [T, T]. overview: weights [heads, T, T] of each layer. name: of the model. is_modified: whether
    interventions modified the pass.
    """

    name: str
    is_modified: bool
    options: ReportOptions
    texts: list[str]
    ids: list[int]
    named: list[int]
    at: int
    spelled: dict[int, str]
    lens: list[LogitLensRows]
    last: LogitLensRows
    attention: dict[tuple[int, int], NDArray[np.float32]]
    overview: list[NDArray[np.float32]]

    def _repr_html_(self) -> str:
        from zeropoint import markup
        from zeropoint.inspect.page import sections

        parts = (markup.section(*section) for section in sections(self))
        return markup.styled(*parts)

    def score(self) -> Score:
        """The probability of each token, with the predictions after the last layer at each position."""
        predictions = [alternatives_at(self.last, row, self.named) for row in range(len(self.ids))]
        logprobs = [None, *self.last.next_logprobs.tolist()]
        return Score(self.ids, logprobs, [None, *predictions[:-1]], predictions[-1], self.spelled)

    def logit_lens(self) -> LensResult:
        """The logit lens of all layers."""
        return LensResult(self.texts, self.named, self.spelled, self.lens)

    def heads(self) -> Iterator[AttentionResult]:
        """The attention of each chosen head."""
        for (layer, head), weights_TT in self.attention.items():
            yield AttentionResult(layer, [head], self.texts, weights_TT[None])

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
    b, named = model.blueprint, named_ids(model.tokenizer, options.tokens)
    if options.max_tokens is not None:
        n = len(text_ids(model.tokenizer, text, model.engine.n_ctx))
        if n > options.max_tokens:
            raise BadInput(
                f"a drawing shows at most {options.max_tokens} tokens; the text has {n:,}, so shorten it"
            )
    for layer, _ in options.heads:
        check_layer(b, layer)
    heads: dict[int, list[int]] = {}
    for layer, head in dict.fromkeys(options.heads):
        heads.setdefault(layer, []).append(head)
    if options.has_overview:
        taps = [Tap(_weights(layer)) for layer in range(b.n_layers)]
    else:
        taps = [Tap(_weights(layer), indices) for layer, indices in heads.items()]
    layers = range(b.n_layers) if options.has_lens else [b.n_layers - 1]
    lens = LogitLens(list(layers), min(options.top, b.n_vocab), named)
    trace = model.trace(text, taps, lens=lens, interventions=interventions)
    n_tokens = len(trace.token_ids)
    at = n_tokens - 1 if options.at is None else options.at
    if not 0 <= at < n_tokens:
        raise BadInput(f"--at is {at}; the text has tokens 0 to {n_tokens - 1}")
    listed = {i for rows in trace.lens for i in rows.top_ids.ravel().tolist()}
    spelled = {i: model.detokenize([i]) for i in listed | set(named) | set(trace.token_ids)}
    return Report(
        model.name,
        bool(interventions),
        options,
        [spelled[i] for i in trace.token_ids],
        trace.token_ids,
        named,
        at,
        spelled,
        trace.lens if options.has_lens else [],
        trace.lens[-1],
        _chosen(trace, heads, options.has_overview),
        [trace[_weights(layer)] for layer in range(b.n_layers)] if options.has_overview else [],
    )


def _chosen(
    trace: Trace, heads: dict[int, list[int]], has_all: bool
) -> dict[tuple[int, int], NDArray[np.float32]]:
    """(layer, head) to weights [T, T]. has_all: whether the trace has every head or the chosen ones only."""
    return {
        (layer, head): trace[_weights(layer)][head if has_all else index]
        for layer, chosen in heads.items()
        for index, head in enumerate(chosen)
    }


def _weights(layer: int) -> str:
    return f"blocks.{layer}.attention.weights"


def _percent(logprob: float) -> str:
    return f"{100 * math.exp(logprob):.1f}%"
