"""The one form in which every bench reports: machine, versions, and rows of ours against the peer's."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """Medians of one measure (more is better) and their ratio."""

    measure: str
    ours: float
    peer: float
    ratio: float
    unit: str


def rows_of(ours: Mapping[str, Sequence[float]], peer: Mapping[str, Sequence[float]], unit: str) -> list[Row]:
    """Rows from the runs of each measure; the ratio is the median of the ratios round by round."""
    return [
        Row(
            name,
            statistics.median(ours[name]),
            statistics.median(peer[name]),
            statistics.median(a / b for a, b in zip(ours[name], peer[name], strict=True)),
            unit,
        )
        for name in ours
    ]


def print_report(
    bench: str,
    machine: Mapping[str, object],
    versions: Mapping[str, str],
    rounds: int,
    rows: Sequence[Row],
    as_json: bool,
) -> None:
    """A table, or one JSON object."""
    if as_json:
        report = {
            "bench": bench,
            "machine": dict(machine),
            "versions": dict(versions),
            "rounds": rounds,
            "rows": [asdict(row) for row in rows],
        }
        print(json.dumps(report))
        return
    print(f"{bench}: {', '.join(f'{k} {v}' for k, v in {**machine, **versions}.items())}, {rounds} rounds")
    print(f"{'measure':<14}{'zeropoint':>12}{'peer':>12}{'ratio':>8}")
    for row in rows:
        print(f"{row.measure:<14}{row.ours:>12.0f}{row.peer:>12.0f}{row.ratio:>7.2f}x  {row.unit}")
