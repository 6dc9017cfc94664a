"""Render benches/results/*.json as the tables of docs/performance.md (`docs/generate.py` calls it).

A result file is what `against_llama_cpp.py --output` or `against_others.py --output` writes. Where several
files measured the same row on the same instruction set, the newest counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["headline_table", "performance_tables"]

RESULTS = Path(__file__).with_name("results")
_SIZES = {"smollm2:135m": "SmolLM2-135M", "135m": "135M, Llama", "1b": "1B, Llama 3.2", "4b": "4B, Qwen3"}
_HEADINGS = ("model", "format", "work", "zeropoint", "fastest competitor", "ratio", "of bandwidth")
_HEADLINE = {("1b", "Q4_K"), ("1b", "Q8_0"), ("smollm2:135m", "Q4_1")}
_WORK = {"prefill": "prompt of {}", "decode": "generation after {}", "together": "{} sequences"}


@dataclass(frozen=True)
class Cell:
    """One measurement: tokens per second of both (0 if only the ratio was recorded), the competitor, the
    ratio, and the share of the bandwidth limit.
    """

    ours: float
    peer: float
    peer_name: str
    ratio: float
    share: float | None


Cells = dict[tuple[str, str], dict[str, Cell]]  # (size, format) -> measurement -> cell


def performance_tables(folder: Path = RESULTS) -> str:
    """One table for each instruction set, the widest first."""
    return "\n\n".join(_table(isa, reports) for isa, reports in _by_isa(folder).items())


def headline_table(folder: Path = RESULTS) -> str:
    """The README's table: the formats people use, on a 1B model, for each instruction set."""
    headings = ("processor", "model", "format", "prompt of 512", "generation", "8 sequences")
    lines = [_line(headings), _line("---" for _ in headings)]
    for isa, reports in _by_isa(folder).items():
        processor = f"{reports[-1]['machine']['processor']}, {isa}"
        for (size, form), found in sorted(_cells(reports).items(), key=_order):
            if (size, form) in _HEADLINE:
                prompt = _text(found.get("prefill512")) or _text(found.get("prefill128"), " (128)")
                rest = (_text(found.get("decode16")), _text(found.get("together8")))
                lines.append(_line((processor, _SIZES[size], form, prompt, *rest)))
    return "\n".join(lines)


def _by_isa(folder: Path) -> dict[str, list[Mapping[str, Any]]]:
    """The reports of each instruction set, the widest set first, the newest report last."""
    reports = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    reports.sort(key=lambda report: report["date"])
    isas = sorted({report["machine"]["isa"] for report in reports}, reverse=True)
    return {isa: [r for r in reports if r["machine"]["isa"] == isa] for isa in isas}


def _cells(reports: Iterable[Mapping[str, Any]]) -> Cells:
    cells: Cells = {}
    for report in reports:
        for row in report["rows"]:
            size, form, measure = row["measure"].split(" ")
            cell = Cell(row["ours"] or 0.0, row["peer"] or 0.0, row["peer_name"], row["ratio"], row["share"])
            cells.setdefault((size, form), {})[measure] = cell
    return cells


def _table(isa: str, reports: list[Mapping[str, Any]]) -> str:
    lines = [f"### {isa}", "", _caption(reports), "", _line(_HEADINGS), _line("---" for _ in _HEADINGS)]
    for (size, form), found in sorted(_cells(reports).items(), key=_order):
        for measure, cell in found.items():
            lines.append(_line((_SIZES[size], form, _work(measure), *_figures(cell))))
    return "\n".join(lines)


def _order(item: tuple[tuple[str, str], Any]) -> tuple[int, str]:
    (size, form), _ = item
    return list(reversed(_SIZES)).index(size), form


def _work(measure: str) -> str:
    """ "prompt of 512" for prefill512."""
    kind, n = re.fullmatch(r"([a-z]+)(\d+)", measure).groups()  # type: ignore[union-attr]
    return _WORK[kind].format(f"{int(n):,}")


def _figures(cell: Cell) -> Iterator[str]:
    yield f"{cell.ours:,.0f} tok/s" if cell.ours else ""
    yield f"{cell.peer:,.0f} tok/s, {cell.peer_name}" if cell.peer else cell.peer_name
    yield f"**{_ratio(cell.ratio)}**"
    yield f"{cell.share:.0%}" if cell.share is not None else ""


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}x"


def _text(cell: Cell | None, note: str = "") -> str:
    """A cell of the README's table."""
    if cell is None:
        return ""
    rate = f"{cell.ours:,.0f} tok/s, " if cell.ours else ""
    return f"{rate}**{_ratio(cell.ratio)}** {cell.peer_name}{note}"


def _caption(reports: list[Mapping[str, Any]]) -> str:
    newest = reports[-1]
    machine = newest["machine"]
    bandwidth = f", {machine['memory_gb_s']} GB/s" if "memory_gb_s" in machine else ""
    dates = sorted({report["date"] for report in reports})
    peers = ", ".join(
        f"{name} {version}" for name, version in newest["versions"].items() if name != "zeropoint"
    )
    return (
        f"{machine['processor']}, {machine['threads']} threads{bandwidth}. Against {peers}; medians of "
        f"{newest['rounds']} interleaved rounds, measured on {' and '.join(dates)}."
    )


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(performance_tables())
