"""Results of looking inside a model, with the text of their tokens: a notebook shows them as tables and maps.

`Model.lens` returns a `LensResult` and `Model.attention` an `AttentionResult`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zeropoint.engine.contract import LogitLensRows
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.sanitize import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zeropoint.markup import Cell, Pixels

__all__ = ["AttentionResult", "LensResult", "count", "percent", "pixels_of", "probability_cell", "visible"]

_MAX_LABEL = 24  # characters


@frozen
class LensResult:
    """The logit lens of one text: iterate for one `LogitLensRows` per layer, or take one by index.

    texts: tokens of the text. named: ids of the requested tokens. spelling: text of every token id that
    occurs.
    """

    texts: list[str]
    named: list[int]
    spelling: Mapping[int, str]
    rows: list[LogitLensRows]

    def __iter__(self) -> Iterator[LogitLensRows]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> LogitLensRows:
        return self.rows[index]

    def __repr__(self) -> str:
        return f"<LensResult: {count(len(self.rows), 'layer')}, {count(len(self.texts), 'token')}>"

    def _repr_html_(self) -> str:
        from zeropoint import markup

        return markup.styled(*self.tables())

    def tables(self) -> Iterator[str]:
        """A table as markup, layers by tokens, of the most probable tokens, and one for each named token."""
        if self.rows and self.rows[0].top_ids.shape[1]:
            yield self._table("most probable next token", self._best)
        for index, token in enumerate(self.named):
            yield self._table(
                f"probability of {self.spelling[token]!r} as the next token",
                lambda rows, at, index=index: self._named(rows, at, index),
            )

    def _table(self, caption: str, cell_of: Any) -> str:
        from zeropoint import markup

        headers = ["layer", *map(visible, self.texts)]
        rows = ((str(row.layer), *(cell_of(row, at) for at in range(len(self.texts)))) for row in self.rows)
        return markup.table(rows, headers, caption)

    def _best(self, rows: LogitLensRows, at: int) -> Cell:
        from zeropoint.markup import Cell

        top = zip(rows.top_ids[at].tolist(), rows.top_logprobs[at].tolist(), strict=True)
        listed = [(self.spelling[token], logprob) for token, logprob in top]
        hint = "\n".join(f"{percent(logprob)} {text!r}" for text, logprob in listed)
        text, logprob = listed[0]
        where = f"layer {rows.layer}, after {self.texts[at]!r}"
        return Cell(visible(text), math.exp(logprob), f"{where}\n{hint}")

    def _named(self, rows: LogitLensRows, at: int, index: int) -> Cell:
        from zeropoint.markup import Cell

        logprob = float(rows.named_logprobs[at, index])
        return Cell(percent(logprob), math.exp(logprob), f"layer {rows.layer}, after {self.texts[at]!r}")


@frozen
class AttentionResult:
    """Attention weights of heads of one layer over one text: an array, with the text of the tokens.

    weights: float32 [heads, T, T]; each row (a query) sums to 1, or less if the heads have a sink (gpt-oss).
    heads: their numbers in the layer.
    texts: tokens of the text. numpy functions accept a result in place of its weights.
    """

    layer: int
    heads: list[int]
    texts: list[str]
    weights: NDArray[np.float32]

    def __getitem__(self, index: Any) -> Any:
        return self.weights[index]

    def __len__(self) -> int:
        return len(self.weights)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        import numpy as np

        return np.array(self.weights, dtype, copy=copy is not False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Heads, tokens, tokens."""
        return self.weights.shape

    def __repr__(self) -> str:
        return (
            f"<AttentionResult: layer {self.layer}, {count(len(self.heads), 'head')}, "
            f"{count(len(self.texts), 'token')}>"
        )

    def _repr_html_(self) -> str:
        from zeropoint import markup

        return markup.styled(*self.maps())

    def maps(self) -> Iterator[str]:
        """A heat map as markup for each head: a row shows where its token attends."""
        from zeropoint import markup

        labels = [visible(text) for text in self.texts]
        for head, weights_TT in zip(self.heads, self.weights, strict=True):
            hints = [self._hint(query, row) for query, row in enumerate(weights_TT.tolist())]
            title = f"layer {self.layer}, head {head}"
            yield markup.heat_map(pixels_of(weights_TT), labels, labels, title=title, hints=hints)

    def _hint(self, query: int, weights: Sequence[float]) -> str:
        best = sorted(range(query + 1), key=lambda key: -weights[key])[:5]
        listed = "\n".join(f"{weights[key]:.2f} {key}:{self.texts[key]!r}" for key in best)
        return f"{query}:{self.texts[query]!r} attends to\n{listed}"


def pixels_of(weights: NDArray[np.float32]) -> Pixels:
    """A matrix of weights from 0 to 1 as pixels."""
    from zeropoint.markup import Pixels

    return Pixels([row.tobytes() for row in (weights.clip(0, 1) * 255).round().astype("uint8")])


def visible(text: str) -> str:
    """A token as a label: spaces and line breaks as symbols, control characters escaped, long ones cut."""
    text = printable(text.replace("\n", "\u21b5").replace(" ", "\u2423"), 4 * _MAX_LABEL)
    return text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "\u2026"


def probability_cell(logprob: float | None) -> Cell:
    """A cell with a probability, shaded by it; empty for None. logprob: a natural logarithm."""
    from zeropoint.markup import Cell

    return Cell("") if logprob is None else Cell(percent(logprob), math.exp(logprob))


def percent(logprob: float) -> str:
    """A natural-log probability as a percentage."""
    return f"{100 * math.exp(logprob):.1f}%"


def count(n: int, noun: str) -> str:
    """A number of things, as in "1 token", "2 tokens"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
