"""Render benches/results/*.json as the tables of docs/performance.md (`docs/generate.py` calls it).

A result file is what `against_llama_cpp.py --output` writes. Where several files measured the same row on
the same instruction set, the newest counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["headline_table", "performance_tables"]

RESULTS = Path(__file__).with_name("results")
_SIZES = {"smollm2:135m": "SmolLM2-135M", "135m": "135M, Llama", "1b": "1B, Llama 3.2"}
_HEADINGS = ("model", "format", "prompt of 512", "generation", "after 2,048", "8 sequences", "limited by")
_HEADLINE = {("1b", "Q4_K"), ("1b", "Q8_0"), ("smollm2:135m", "Q4_1")}
_FULL_BUS = 0.85  # share of memory bandwidth at which generation counts as limited by memory


@dataclass(frozen=True)
class Cell:
    """One measurement: tokens per second (0 if only the ratio was recorded), ratio, share of the bandwidth
    limit."""

    ours: float
    ratio: float
    share: float | None


Cells = dict[tuple[str, str], dict[str, Cell]]  # (size, format) -> measurement -> cell


def performance_tables(folder: Path = RESULTS) -> str:
    """One table for each instruction set, the widest first."""
    return "\n\n".join(_table(isa, reports) for isa, reports in _by_isa(folder).items())


def headline_table(folder: Path = RESULTS) -> str:
    """The README's table: the formats people use, on a 1B model, for each instruction set."""
    lines = [_line(("processor", "model", *_HEADINGS[1:4], _HEADINGS[5])), _line("---" for _ in range(6))]
    for isa, reports in _by_isa(folder).items():
        cells = _cells(reports)
        for (size, form), found in sorted(cells.items(), key=_order):
            if (size, form) in _HEADLINE:
                row = list(_row(size, form, found))
                lines.append(_line((f"{reports[-1]['machine']['processor']}, {isa}", *row[:4], row[5])))
    return "\n".join(lines)


def _by_isa(folder: Path) -> dict[str, list[Mapping[str, Any]]]:
    """The reports of each instruction set, the widest set first, the newest report last."""
    reports = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    reports.sort(key=lambda report: report["date"])
    isas = sorted({report["machine"]["isa"] for report in reports}, reverse=True)
    return {isa: [r for r in reports if r["machine"]["isa"] == isa] for isa in isas}


def _cells(reports: list[Mapping[str, Any]]) -> Cells:
    cells: Cells = {}
    for report in reports:
        for row in report["rows"]:
            size, form, measure = row["measure"].split(" ")
            cell = Cell(row["ours"] or 0.0, row["ratio"], row["share"])
            cells.setdefault((size, form), {})[measure] = cell
    return cells


def _table(isa: str, reports: list[Mapping[str, Any]]) -> str:
    newest = reports[-1]
    lines = [
        f"### {isa}",
        "",
        _caption(newest, reports),
        "",
        _line(_HEADINGS),
        _line("---" for _ in _HEADINGS),
    ]
    lines += [
        _line(_row(size, form, found)) for (size, form), found in sorted(_cells(reports).items(), key=_order)
    ]
    return "\n".join(lines)


def _order(item: tuple[tuple[str, str], Any]) -> tuple[int, str]:
    (size, form), _ = item
    return list(reversed(_SIZES)).index(size), form


def _row(size: str, form: str, cells: Mapping[str, Cell]) -> Iterator[str]:
    yield _SIZES[size]
    yield form
    yield _text(cells.get("prefill512")) or _text(cells.get("prefill128"), " (128)")
    yield _text(cells.get("decode16"))
    yield _text(cells.get("decode2048"))
    yield _text(cells.get("together8"))
    yield _limit(form, cells.get("decode16"))


def _text(cell: Cell | None, note: str = "") -> str:
    if cell is None:
        return ""
    rate = f"{cell.ours:,.0f} tok/s, " if cell.ours else ""
    share = f" ({cell.share:.0%} of bandwidth)" if cell.share is not None else ""
    return f"{rate}**{cell.ratio:.1f}x**{share}{note}"


def _limit(form: str, decode: Cell | None) -> str:
    """What a profile showed to limit prompts, and generation."""
    units = "float multiply-add units" if form in ("F16", "BF16", "F32") else "int8 multiply units"
    if decode is None or decode.share is None:
        return f"prompt: {units}"
    is_full = decode.share >= _FULL_BUS
    return (
        f"prompt: {units}; generation: {'memory bandwidth' if is_full else 'unpacking and synchronization'}"
    )


def _caption(newest: Mapping[str, Any], reports: list[Mapping[str, Any]]) -> str:
    machine = newest["machine"]
    bandwidth = f", {machine['memory_gb_s']} GB/s" if "memory_gb_s" in machine else ""
    dates = sorted({report["date"] for report in reports})
    peer = newest["versions"].get("llama.cpp", "")
    return (
        f"{machine['processor']}, {machine['threads']} threads{bandwidth}. Against llama.cpp ({peer}), "
        f"medians of {newest['rounds']} interleaved rounds, measured on {' and '.join(dates)}."
    )


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(performance_tables())
