"""Print a labelled matrix on a terminal, as plain text or shaded by value.

Positive numbers are blue and negative ones red, the larger the darker, each shade with its own text colour so
that it is readable on dark and light terminals. Zeros are printed as dots, so that non-zero entries stand
out.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from zeropoint.cli.console import Console

if TYPE_CHECKING:
    from rich.text import Text

    from zeropoint.learn.handmade.trace import Matrix

__all__ = ["show_plain", "show_shaded"]

# Text and background colours from the smallest to the largest magnitude: dark on light, then light on dark.
# The numbers index the 256-colour palette, which every colour terminal supports.
_POSITIVE = (
    "black on color(195)",
    "black on color(153)",
    "black on color(111)",
    "white on color(32)",
    "white on color(25)",
)
_NEGATIVE = (
    "black on color(224)",
    "black on color(217)",
    "black on color(210)",
    "white on color(160)",
    "white on color(124)",
)


def show_plain(console: Console, matrix: Matrix) -> None:
    """Print the matrix as aligned text: column names over two lines, then one line per row."""
    console.line(f"{matrix.name}: {matrix.description}")
    cells = _cells(matrix)
    headings = [name.rpartition(" ")[::2] for name in matrix.columns]
    widths = [max(map(len, (*names, *(row[c] for row in cells)))) for c, names in enumerate(headings)]
    left = max(map(len, matrix.rows))

    def line(name: str, row: Iterable[str]) -> None:
        console.line(" ".join([name.rjust(left), *(v.rjust(w) for v, w in zip(row, widths, strict=True))]))

    if any(first for first, _ in headings):
        line("", [first for first, _ in headings])
    line("", [last for _, last in headings])
    for name, row in zip(matrix.rows, cells, strict=True):
        line(name, row)
    console.line()


def show_shaded(console: Console, matrix: Matrix) -> None:
    """Print the matrix in colour; columns that share the first word of their name share one heading."""
    from rich.text import Text

    out = console.rich(sys.stdout)
    cells = _cells(matrix)
    headings = [name.rpartition(" ")[::2] for name in matrix.columns]
    groups = [(first, len(list(members))) for first, members in groupby(headings, key=lambda names: names[0])]
    widths = _widths(
        groups, [max(len(last), *(len(row[c]) for row in cells)) for c, (_, last) in enumerate(headings)]
    )
    left = max(map(len, matrix.rows))
    largest = max((abs(v) for row in matrix.values.tolist() for v in row if math.isfinite(v)), default=0.0)

    def line(*parts: Text) -> None:
        out.print(Text.assemble(*parts), soft_wrap=True)

    line(Text(matrix.name, "bold"), Text(f": {matrix.description}", "dim"))
    if any(first for first, _ in groups):
        line(Text(" " * left), *_headings(groups, widths))
    names = [Text(last.rjust(w + 1), "cyan") for (_, last), w in zip(headings, widths, strict=True)]
    line(Text(" " * left), *names)
    for name, row, values in zip(matrix.rows, cells, matrix.values.tolist(), strict=True):
        shaded = [
            Text(f" {text.rjust(w)}", _style(v, largest))
            for text, w, v in zip(row, widths, values, strict=True)
        ]
        line(Text(name.rjust(left), "cyan"), *shaded)
    out.print()


def _widths(groups: Sequence[tuple[str, int]], widths: list[int]) -> list[int]:
    """Widen the first column of a group whose heading is wider than its columns."""
    widened, start = list(widths), 0
    for first, n in groups:
        missing = len(first) - (sum(widths[start : start + n]) + n - 1)
        widened[start] += max(missing, 0)
        start += n
    return widened


def _headings(groups: Sequence[tuple[str, int]], widths: Sequence[int]) -> list[Text]:
    from rich.text import Text

    parts, start = [], 0
    for first, n in groups:
        width = sum(widths[start : start + n]) + n - 1
        # `strip` drops the outer spaces if the heading only just fits.
        text = f" {first} ".center(width, "─").strip() if first else ""
        parts.append(Text(f" {text.rjust(width)}", "cyan"))
        start += n
    return parts


def _style(value: float, largest: float) -> str:
    """The colours of a number, by its magnitude relative to the largest finite one; dim for zero."""
    if value == 0 or math.isnan(value):
        return "dim" if value == 0 else "bold"
    shades = _POSITIVE if value > 0 else _NEGATIVE
    fraction = 1.0 if math.isinf(value) else abs(value) / largest
    return shades[min(int(fraction * len(shades)), len(shades) - 1)]


def _cells(matrix: Matrix) -> list[list[str]]:
    return [["." if v == 0 else f"{v:.4g}" for v in row] for row in matrix.values.tolist()]
