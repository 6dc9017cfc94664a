"""HTML for notebooks: escaped, without scripts and network access, and complete."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from html.parser import HTMLParser

from zeropoint.markup import Cell, Pixels, heat_map, mosaic, page, row_of_cells, styled, table

HOSTILE = """<script>alert("1")</script>' onload='x"""
PIXELS = Pixels([bytes([255, 0]), bytes([51, 204])])
_VOID = {"meta"}


class Tags(HTMLParser):
    """Collects the tags and attributes of a document, and whether every tag is closed."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def everything(text: str) -> str:
    """A document with the text in every place that a text can have."""
    cells = [Cell(text, 0.5, text)]
    return page(
        text,
        [(text, text, table([[text, *cells]], [text, text], text) + row_of_cells(cells))] * 2
        + [(text, text, heat_map(PIXELS, [text] * 2, [text] * 2, title=text, hints=[text] * 2))]
        + [(text, text, mosaic([[PIXELS] * 2], (text, text), [[text] * 2]))],
        text,
    )


def test_hostile_text_is_escaped_everywhere() -> None:
    document = Tags(everything(HOSTILE))
    assert document.open == []
    assert "script" not in document.tags
    assert not {name for name in document.attributes if name.startswith("on")}
    assert document.tags == Tags(everything("text")).tags


def test_a_document_loads_nothing() -> None:
    assert not re.search(r"""(src|href)=["'](?!data:)|https?:|url\(""", everything("text"))
    assert "default-src 'none'" in everything("text")


def test_a_shade_is_a_translucent_background() -> None:
    cell = "<td>a</td>"
    assert cell in table([["x", "a"]])
    assert 'style="background:rgba(42,111,219,0.3)">a</td>' in table([["x", Cell("a", 0.5)]])
    assert table([["x", Cell("a", 7)]]) == table([["x", Cell("a", 1)]])


def test_a_notebook_gets_the_style_sheet() -> None:
    assert styled("a").startswith('<div class="zp"><style>')


def test_the_picture_of_a_heat_map_holds_its_values() -> None:
    """Decode the embedded PNG by hand: indexed colour, where the index is the opacity."""
    (data,) = re.findall(r"base64,([^\"]+)", heat_map(PIXELS, ["a", "b"], ["c", "d"]))
    png = base64.b64decode(data)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (n,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + n]
        assert png[at + 8 + n : at + 12 + n] == struct.pack(">I", zlib.crc32(kind + body))
        chunks[kind], at = body, at + 12 + n
    assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (2, 2)
    assert chunks[b"tRNS"] == bytes(range(256))
    assert zlib.decompress(chunks[b"IDAT"]) == bytes([0, 255, 0, 0, 51, 204])


def test_a_large_heat_map_has_no_labels() -> None:
    large = Pixels([bytes(65)] * 65)
    assert "<text" not in heat_map(large, ["a"] * 65, ["a"] * 65)
