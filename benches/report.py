"""The one form in which every bench reports: machine, versions, and rows of ours against the peer's."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

__all__ = ["Row", "print_report", "row_of"]


@dataclass(frozen=True)
class Row:
    """Medians of one measure and the median of their ratios, round by round; more is better, but for ms.

    share: the median part that ours reached of the ceiling that the memory's bandwidth set in the same
    round; None where bandwidth is not what limits.
    """

    measure: str
    ours: float
    peer: float
    ratio: float
    unit: str
    share: float | None = None


def row_of(
    measure: str,
    ours: Sequence[float],
    peer: Sequence[float],
    unit: str,
    ceilings: Sequence[float] | None = None,
) -> Row:
    """A row from one figure a round; a peer without figures has 0."""
    return Row(
        measure,
        statistics.median(ours),
        statistics.median(peer) if peer else 0.0,
        statistics.median(a / b for a, b in zip(ours, peer, strict=True)) if peer else 0.0,
        unit,
        statistics.median(a / c for a, c in zip(ours, ceilings, strict=True)) if ceilings else None,
    )


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
    width = max([len(row.measure) for row in rows] + [12]) + 2
    print(f"{'measure':<{width}}{'zeropoint':>12}{'peer':>12}{'ratio':>8}  {'unit':<6}{'of ceiling':>11}")
    for row in rows:
        share = "" if row.share is None else f"{row.share:>11.0%}"
        figures = f"{row.ours:>12.1f}{row.peer:>12.1f}{row.ratio:>7.2f}x"
        print(f"{row.measure:<{width}}{figures}  {row.unit:<6}{share}".rstrip())
