"""What a look at one text shows, as tables for a person and as plain values for a program."""

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

__all__ = ["Report", "Table", "Wanted", "report"]


@dataclass(frozen=True)
class Wanted:
    """What is to be shown. heads: (layer, head); top: best ones of a place; tokens: named ones, as text.

    at: the token whose lens is shown, by default the last.
    """

    is_lens: bool = False
    is_logprobs: bool = False
    heads: Sequence[tuple[int, int]] = ()
    top: int = 5
    tokens: Sequence[str] = ()
    at: int | None = None


@dataclass(frozen=True)
class Table:
    """Rows under headers, with a line above."""

    title: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Report:
    """What was seen. texts: every token of the text; spelled: the text of any token id that stands in it.

    lens: of all layers; it is empty unless wanted. attention: (layer, head) to weights [T, T].
    """

    wanted: Wanted
    texts: list[str]
    ids: list[int]
    named: list[int]
    at: int
    spelled: dict[int, str]
    lens: list[LogitLensRows]
    last: LogitLensRows
    attention: dict[tuple[int, int], NDArray[np.float32]]

    def tables(self) -> Iterator[Table]:
        """One table for everything that was wanted."""
        if self.wanted.is_lens:
            yield self._lens_table()
        if self.wanted.is_logprobs:
            yield self._logprobs_table()
        for (layer, head), weights_TT in self.attention.items():
            yield self._attention_table(layer, head, weights_TT)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values: probabilities as natural logarithms, weights in full."""
        found: dict[str, Any] = {
            "tokens": [{"id": i, "text": t} for i, t in zip(self.ids, self.texts, strict=True)]
        }
        if self.wanted.is_lens:
            found["lens"] = {
                "at": self.at,
                "layers": [{"layer": rows.layer, **self._place(rows, self.at)} for rows in self.lens],
            }
        if self.wanted.is_logprobs:
            logprobs = [None, *self.last.next_logprobs.tolist()]
            places = [None, *(self._place(self.last, row) for row in range(len(self.ids)))]
            found["logprobs"] = logprobs
            found["alternatives"] = places[:-1]
            found["next"] = places[-1]
        if self.attention:
            found["attention"] = [
                {"layer": layer, "head": head, "weights": weights.tolist()}
                for (layer, head), weights in self.attention.items()
            ]
        return found

    def _place(self, rows: LogitLensRows, row: int) -> dict[str, Any]:
        top = zip(rows.top_ids[row].tolist(), rows.top_logprobs[row].tolist(), strict=True)
        return {
            "top": [{"id": i, "text": self.spelled[i], "logprob": p} for i, p in top],
            "named": [
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
            best = np.argsort(-weights[: query + 1], kind="stable")[: self.wanted.top]
            looked = "  ".join(f"{key}:{self.texts[key]!r} {weights[key]:.2f}" for key in best.tolist())
            rows.append((f"{query}:{self.texts[query]!r}", looked))
        return Table(f"attention of layer {layer}, head {head}", ("token", "looks at"), rows)

    def _headers(self) -> tuple[str, ...]:
        return "most probable", *(repr(self.spelled[i]) for i in self.named)

    def _cells(self, rows: LogitLensRows, row: int) -> tuple[str, ...]:
        top = zip(rows.top_ids[row].tolist(), rows.top_logprobs[row].tolist(), strict=True)
        best = "  ".join(f"{self.spelled[i]!r} {_percent(p)}" for i, p in top)
        return best, *(_percent(p) for p in rows.named_logprobs[row].tolist())


def report(model: Model, text: str, wanted: Wanted, interventions: Sequence[Intervention] = ()) -> Report:
    """Read the text once and keep what is wanted. Raises BadInput, ContextFull."""
    from zeropoint.engine.session.score import named_ids

    b, named = model.blueprint, named_ids(model.tokenizer, wanted.tokens)
    for layer, _ in wanted.heads:
        check_layer(b, layer)
    heads: dict[int, list[int]] = {}
    for layer, head in dict.fromkeys(wanted.heads):
        heads.setdefault(layer, []).append(head)
    taps = [Tap(_weights(layer), chosen) for layer, chosen in heads.items()]
    layers = range(b.n_layers) if wanted.is_lens else [b.n_layers - 1]
    seen = model.trace(
        text, taps, lens=LogitLens(list(layers), wanted.top, named), interventions=interventions
    )
    n_tokens = len(seen.token_ids)
    at = n_tokens - 1 if wanted.at is None else wanted.at
    if not 0 <= at < n_tokens:
        raise BadInput(f"--at is {at}; the text has tokens 0 to {n_tokens - 1}")
    said = {i for rows in seen.lens for i in rows.top_ids.ravel().tolist()}
    spelled = {i: model.detokenize([i]) for i in said | set(named) | set(seen.token_ids)}
    return Report(
        wanted,
        [spelled[i] for i in seen.token_ids],
        seen.token_ids,
        named,
        at,
        spelled,
        seen.lens if wanted.is_lens else [],
        seen.lens[-1],
        {(at, head): seen[_weights(at)][heads[at].index(head)] for at, head in dict.fromkeys(wanted.heads)},
    )


def _weights(layer: int) -> str:
    return f"blocks.{layer}.attention.weights"


def _percent(logprob: float) -> str:
    return f"{100 * math.exp(logprob):.1f}%"
