"""Draw a `Report` as a web page: one file without scripts, which opens without a network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zeropoint import markup
from zeropoint.engine.session.results import count, pixels_of, visible
from zeropoint.tokenizers.core.sanitize import printable

if TYPE_CHECKING:
    from zeropoint.inspect.report import Report

__all__ = ["EXPLANATIONS", "MAX_TOKENS", "draw_html", "introduction", "sections"]

MAX_TOKENS = 128
"""The longest text to draw; more columns cannot be read side by side."""

EXPLANATIONS = {
    "Token probabilities": "How likely the model found each token, given only the tokens before it: a darker "
    "cell or a longer bar is likelier. The last row is what it expects next.",
    "Logit lens": "What the model would predict as the next token if it stopped after that layer: a column "
    "is a token of the text, a row is a layer, and the darker, the more probable. Look for the layer in "
    "which the final prediction first appears.",
    "Attention by layer and head": "Each square is one head. Its rows are the tokens that look, its columns "
    "the tokens they look at: the darker, the more attention. A dark first column is a head that rests on "
    "the first token; a diagonal is one that looks at the token itself or the one before.",
    "Attention of single heads": "Each row shows how much attention its token pays to each earlier token; a "
    "row sums to 1 (in gpt-oss to less: a head can attend to nothing), and an empty cell is none.",
}
"""The views and what each shows, in the order in which they are drawn."""


def draw_html(report: Report) -> str:
    """The views of a report as one HTML document."""
    return markup.page(printable("".join(report.texts)), sections(report), introduction(report))


def introduction(report: Report) -> str:
    """One line about the model and the text."""
    modified = ", with a forward pass modified by steering or ablation" if report.is_modified else ""
    tokens = count(len(report.ids), "token")
    return f"How {report.name} reads this text of {tokens}{modified}. Layers, heads and tokens count from 0."


def sections(report: Report) -> Iterator[tuple[str, str, str]]:
    """Heading, explanation and content of each selected view."""
    options = report.options
    contents = {
        "Token probabilities": _probabilities(report) if options.has_logprobs else "",
        "Logit lens": "".join(report.logit_lens().tables()) if options.has_lens else "",
        "Attention by layer and head": _overview(report) if report.overview else "",
        "Attention of single heads": "".join(svg for result in report.heads() for svg in result.maps()),
    }
    for heading, explanation in EXPLANATIONS.items():
        if contents[heading]:
            yield heading, explanation, contents[heading]


def _probabilities(report: Report) -> str:
    """The text with each token shaded, above the table."""
    cells = [markup.Cell(visible(report.texts[0]))]
    for text, logprob in zip(report.texts[1:], report.last.next_logprobs.tolist(), strict=True):
        probability = math.exp(logprob)
        cells.append(markup.Cell(visible(text), probability, f"{text!r}: {probability:.1%}"))
    return markup.row_of_cells(cells) + report.score().table()


def _overview(report: Report) -> str:
    tiles = [[pixels_of(weights_TT) for weights_TT in weights_HTT] for weights_HTT in report.overview]
    hints = [
        [f"layer {layer}, head {i}\n{_summary(weights)}" for i, weights in enumerate(weights_HTT)]
        for layer, weights_HTT in enumerate(report.overview)
    ]
    return markup.mosaic(tiles, ("layer", "head"), hints)


def _summary(weights_TT: NDArray[np.float32]) -> str:
    """Where a head looks on average, over all tokens but the first, which can only look at itself."""
    n = len(weights_TT)
    if n < 2:
        return "a single token can only look at itself"
    first, itself, previous = (
        float(weights.mean())
        for weights in (weights_TT[1:, 0], weights_TT.diagonal()[1:], weights_TT.diagonal(-1))
    )
    return (
        f"on average {first:.0%} on the first token, {previous:.0%} on the previous, {itself:.0%} on itself"
    )
