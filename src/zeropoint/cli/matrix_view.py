"""A named matrix on a terminal: shaded by size, with headings over its columns; or plain text.

Shades are blue above zero and red below, each with its own text colour, so that they can be read on a dark
and on a light terminal; zeros are dots, so that what was set stands out.
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

# Text and background from the faintest to the strongest share of the largest number: dark on light, then
# light on dark. Numbers of the palette of 256 colours, which every terminal with colour has.
_ABOVE = (
    "black on color(195)",
    "black on color(153)",
    "black on color(111)",
    "white on color(32)",
    "white on color(25)",
)
_BELOW = (
    "black on color(224)",
    "black on color(217)",
    "black on color(210)",
    "white on color(160)",
    "white on color(124)",
)


def show_plain(console: Console, matrix: Matrix) -> None:
    """The names of the columns above in two lines, then a row a line, all aligned."""
    console.line(f"{matrix.name}: {matrix.about}")
    cells = _cells(matrix)
    above = [name.rpartition(" ")[::2] for name in matrix.columns]
    widths = [max(map(len, (*names, *(row[c] for row in cells)))) for c, names in enumerate(above)]
    left = max(map(len, matrix.rows))

    def line(name: str, row: Iterable[str]) -> None:
        console.line(" ".join([name.rjust(left), *(v.rjust(w) for v, w in zip(row, widths, strict=True))]))

    if any(first for first, _ in above):
        line("", [first for first, _ in above])
    line("", [last for _, last in above])
    for name, row in zip(matrix.rows, cells, strict=True):
        line(name, row)
    console.line()


def show_shaded(console: Console, matrix: Matrix) -> None:
    """The same with colours; a heading stands once over the columns that share it."""
    from rich.text import Text

    out = console.rich(sys.stdout)
    cells = _cells(matrix)
    above = [name.rpartition(" ")[::2] for name in matrix.columns]
    groups = [(first, len(list(members))) for first, members in groupby(above, key=lambda names: names[0])]
    widths = _widths(
        groups, [max(len(last), *(len(row[c]) for row in cells)) for c, (_, last) in enumerate(above)]
    )
    left = max(map(len, matrix.rows))
    strongest = max((abs(v) for row in matrix.values.tolist() for v in row if math.isfinite(v)), default=0.0)

    def line(*parts: Text) -> None:
        out.print(Text.assemble(*parts), soft_wrap=True)

    line(Text(matrix.name, "bold"), Text(f": {matrix.about}", "dim"))
    if any(first for first, _ in groups):
        line(Text(" " * left), *_headings(groups, widths))
    names = [Text(last.rjust(w + 1), "cyan") for (_, last), w in zip(above, widths, strict=True)]
    line(Text(" " * left), *names)
    for name, row, values in zip(matrix.rows, cells, matrix.values.tolist(), strict=True):
        shaded = [
            Text(f" {text.rjust(w)}", _style(v, strongest))
            for text, w, v in zip(row, widths, values, strict=True)
        ]
        line(Text(name.rjust(left), "cyan"), *shaded)
    out.print()


def _widths(groups: Sequence[tuple[str, int]], widths: list[int]) -> list[int]:
    """Wider where a heading is longer than its columns together."""
    wide, start = list(widths), 0
    for first, n in groups:
        missing = len(first) - (sum(widths[start : start + n]) + n - 1)
        wide[start] += max(missing, 0)
        start += n
    return wide


def _headings(groups: Sequence[tuple[str, int]], widths: Sequence[int]) -> list[Text]:
    from rich.text import Text

    parts, start = [], 0
    for first, n in groups:
        room = sum(widths[start : start + n]) + n - 1
        text = f" {first} ".center(room, "─").strip() if first else ""  # where it just fits, without spaces
        parts.append(Text(f" {text.rjust(room)}", "cyan"))
        start += n
    return parts


def _style(value: float, strongest: float) -> str:
    """The shade of a number by its share of the largest finite one; none for a zero."""
    if value == 0 or math.isnan(value):
        return "dim" if value == 0 else "bold"
    shades = _ABOVE if value > 0 else _BELOW
    share = 1.0 if math.isinf(value) else abs(value) / strongest
    return shades[min(int(share * len(shades)), len(shades) - 1)]


def _cells(matrix: Matrix) -> list[list[str]]:
    return [["." if v == 0 else f"{v:.4g}" for v in row] for row in matrix.values.tolist()]
