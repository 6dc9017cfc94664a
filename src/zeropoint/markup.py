"""HTML for notebooks and reports: tables with shaded cells and heat maps, without scripts and network access.

Every text is escaped. Text has the colour of its surroundings and shades are translucent, so that the result
can be read on a light and on a dark page.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from html import escape

from zeropoint.frozen import frozen

__all__ = ["Cell", "Pixels", "heat_map", "mosaic", "page", "row_of_cells", "section", "styled", "table"]

_RED, _GREEN, _BLUE = _ACCENT = (42, 111, 219)
_MAX_OPACITY = 0.6  # of a shaded cell: its text stays readable
_FONT_PX, _CHARACTER_PX = 11, 6.8  # of labels; the width of a monospace character
_LABELLED = 64  # rows of a heat map with labels; more labels would be too small to read
_STYLE = """
.zp{font:13px/1.5 system-ui,sans-serif;color:inherit;overflow-x:auto}
.zp table{border-collapse:collapse;margin:6px 0;color:inherit;background:none;font-size:inherit}
.zp caption{caption-side:top;text-align:left;color:inherit;padding:2px 0}
.zp th,.zp td{padding:2px 8px;text-align:left;vertical-align:top;color:inherit;max-width:none;
border:1px solid rgba(128,128,128,.3)}
.zp th{font-weight:600;background:none}
.zp td,.zp .tokens{font-family:ui-monospace,monospace;white-space:pre-wrap}
.zp .tokens span{padding:1px 2px;border-radius:3px;margin:1px;display:inline-block}
.zp svg{display:inline-block;vertical-align:top;margin:6px 16px 6px 0;max-width:none}
.zp svg text{fill:currentColor;font:11px ui-monospace,monospace}
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
:root{{color-scheme:light dark;--ink:#1f2933;--soft:#5f6b7a;--page:#f7f9fb}}
@media (prefers-color-scheme:dark){{:root{{--ink:#e6eaf0;--soft:#9aa7b6;--page:#12171d}}}}
body{{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,sans-serif}}
main{{max-width:1200px;margin:0 auto;padding:32px 20px 64px}}
h1{{font-size:26px;line-height:1.2;margin:0 0 8px}}
h2{{font-size:19px;margin:36px 0 4px}}
p{{margin:4px 0 8px;max-width:75ch}}
.soft{{color:var(--soft)}}
</style>
</head>
<body><main>
<h1>{title}</h1>
{body}
</main></body>
</html>
"""


@frozen
class Cell:
    """A cell of a table. shade: 0 (none) to 1 (darkest). hint: shown when the pointer rests on the cell."""

    text: str
    shade: float = 0.0
    hint: str = ""


@frozen
class Pixels:
    """Values from 0 to 255, row by row, all rows of the same length."""

    rows: Sequence[bytes]

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return len(self.rows[0]) if self.rows else 0

    @property
    def height(self) -> int:
        """The number of rows."""
        return len(self.rows)


def styled(*parts: str) -> str:
    """Markup with its style sheet, as a notebook displays it."""
    return f'<div class="zp"><style>{_STYLE}</style>{"".join(parts)}</div>'


def page(title: str, sections: Iterable[tuple[str, str, str]], introduction: str = "") -> str:
    """A complete HTML document. sections: heading and explanation as text, content as markup."""
    body = [f'<p class="soft">{escape(introduction)}</p>'] if introduction else []
    body += [section(*parts) for parts in sections]
    return _PAGE.format(title=escape(title), body=styled("\n".join(body)))


def section(heading: str, explanation: str, content: str) -> str:
    """A heading and an explanation, which are text, above the content, which is markup."""
    return f'<h2>{escape(heading)}</h2>\n<p class="soft">{escape(explanation)}</p>\n{content}'


def table(rows: Iterable[Sequence[str | Cell]], headers: Sequence[str | Cell] = (), caption: str = "") -> str:
    """A table. The first column names the rows."""
    parts = ["<table>"]
    if caption:
        parts.append(f"<caption>{escape(caption)}</caption>")
    if headers:
        parts.append(f"<thead><tr>{''.join(_cell('th', header) for header in headers)}</tr></thead>")
    parts.append("<tbody>")
    for first, *others in rows:
        parts.append(f"<tr>{_cell('th', first)}{''.join(_cell('td', cell) for cell in others)}</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def row_of_cells(cells: Iterable[Cell]) -> str:
    """Shaded pieces of a text, side by side."""
    spans = "".join(f"<span{_attributes(cell)}>{escape(cell.text)}</span>" for cell in cells)
    return f'<div class="tokens">{spans}</div>'


def heat_map(
    pixels: Pixels, rows: Sequence[str], columns: Sequence[str], *, title: str = "", hints: Sequence[str] = ()
) -> str:
    """An SVG of a matrix: the larger a value, the darker. hints: one for each row."""
    has_labels = max(pixels.height, pixels.width) <= _LABELLED
    size = 16 if has_labels else max(2, 1024 // pixels.height)
    left = _label_px(rows) if has_labels else 0.0
    top = (_label_px(columns) if has_labels else 0.0) + (20 if title else 0)
    width, height = pixels.width * size, pixels.height * size
    parts = [_image(pixels, left, top, size)]
    if has_labels:
        parts.append(_frame(left, top, width, height))
        for i, label in enumerate(rows):
            parts.append(_label(label, left - 5, top + (i + 0.72) * size, ' text-anchor="end"'))
        for i, label in enumerate(columns):
            x, y = left + (i + 0.72) * size, top - 5
            parts.append(_label(label, x, y, f' transform="rotate(-90 {x:.1f} {y:.1f})"'))
    for i, hint in enumerate(hints):
        parts.append(_hint(left, top + i * size, width, size, hint))
    if title:
        parts.append(_label(title, 0, 12, ' font-weight="600"'))
    title_px = len(title) * _CHARACTER_PX if title else 0
    return _svg(max(left + width, title_px), top + height, parts)


def mosaic(tiles: Sequence[Sequence[Pixels]], axes: tuple[str, str], hints: Sequence[Sequence[str]]) -> str:
    """An SVG of square matrices of one size, in rows and columns, which are numbered from 0.

    axes: what a row and a column is. hints: one for each matrix.
    """
    n = tiles[0][0].width
    gap = b"\0"
    lines: list[bytes] = []
    for row in tiles:
        lines += [gap.join(tile.rows[i] for tile in row) for i in range(n)]
        lines.append(bytes(len(lines[0])))
    size = max(1, 44 // (n + 1))
    step = (n + 1) * size
    left, top = _label_px([f"{axes[0]} {len(tiles)}", axes[1]]), 18
    parts = [_image(Pixels(lines), left, top, size), _label(axes[1], left - 5, 12, ' text-anchor="end"')]
    for i in range(len(tiles[0])):
        parts.append(_label(str(i), left + i * step + n * size / 2, 12, ' text-anchor="middle"'))
    for i, row_hints in enumerate(hints):
        y = top + i * step
        parts.append(_label(f"{axes[0]} {i}", left - 5, y + n * size / 2 + 4, ' text-anchor="end"'))
        for j, hint in enumerate(row_hints):
            x = left + j * step
            parts.append(_frame(x, y, n * size, n * size))
            parts.append(_hint(x, y, n * size, n * size, hint))
    return _svg(left + len(tiles[0]) * step, top + len(tiles) * step, parts)


def _cell(tag: str, cell: str | Cell) -> str:
    cell = Cell(cell) if isinstance(cell, str) else cell
    return f"<{tag}{_attributes(cell)}>{escape(cell.text)}</{tag}>"


def _attributes(cell: Cell) -> str:
    hint = f' title="{escape(cell.hint)}"' if cell.hint else ""
    opacity = round(min(max(cell.shade, 0.0), 1.0) * _MAX_OPACITY, 3)
    color = f"rgba({_RED},{_GREEN},{_BLUE},{opacity})"
    return hint + (f' style="background:{color}"' if opacity else "")


def _svg(width: float, height: float, parts: Iterable[str]) -> str:
    size = f'width="{width + 2:.0f}" height="{height + 2:.0f}"'
    return f'<svg {size} role="img">{"".join(parts)}</svg>'


def _label_px(labels: Sequence[str]) -> float:
    return max(map(len, labels), default=0) * _CHARACTER_PX + 8


def _label(text: str, x: float, y: float, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes} xml:space="preserve">{escape(text)}</text>'


def _hint(x: float, y: float, width: float, height: float, text: str) -> str:
    """An invisible rectangle that shows a text when the pointer rests on it."""
    box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {box} fill="transparent"><title>{escape(text)}</title></rect>'


def _frame(x: float, y: float, width: float, height: float) -> str:
    box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {box} fill="none" stroke="currentColor" stroke-opacity=".25"/>'


def _image(pixels: Pixels, x: float, y: float, size: float) -> str:
    """The pixels as an embedded PNG, each `size` units wide."""
    data = base64.b64encode(_png(pixels)).decode()
    box = f'x="{x:.1f}" y="{y:.1f}" width="{pixels.width * size}" height="{pixels.height * size}"'
    return (
        f'<image {box} preserveAspectRatio="none" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{data}"/>'
    )


def _png(pixels: Pixels) -> bytes:
    """A PNG (PNG specification, third edition) in one colour; the value of a pixel is its opacity."""
    header = struct.pack(">IIBBBBB", pixels.width, pixels.height, 8, 3, 0, 0, 0)  # 8 bits, indexed colour
    lines = b"".join(b"\0" + row for row in pixels.rows)  # 0: no filter
    chunks = (
        (b"IHDR", header),
        (b"PLTE", bytes(_ACCENT) * 256),
        (b"tRNS", bytes(range(256))),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    encoded = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(encoded)
