"""The one report of every benchmark: machine, versions, and one row per measurement, ours next to the
competitor's."""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["Row", "add_report_options", "make_row", "print_report"]


@dataclass(frozen=True)
class Row:
    """The medians of one measurement, and the median over all rounds of their ratio.

    Higher is better, except for times in ms. share: the median fraction reached of the limit that memory
    bandwidth (or arithmetic, in training) set in the same round; None where no limit applies. peer_name: the
    fastest of several competitors; peers: the medians of all of them.
    """

    measure: str
    ours: float
    peer: float
    ratio: float
    unit: str
    share: float | None = None
    peer_name: str = ""
    peers: Mapping[str, float] = field(default_factory=dict)


def make_row(
    measure: str,
    ours: Sequence[float],
    peer: Sequence[float],
    unit: str,
    limits: Sequence[float] | None = None,
    peer_name: str = "",
    peers: Mapping[str, float] | None = None,
) -> Row:
    """A row from one figure per round; a competitor that was not measured has 0."""
    return Row(
        measure,
        statistics.median(ours),
        statistics.median(peer) if peer else 0.0,
        statistics.median(a / b for a, b in zip(ours, peer, strict=True)) if peer else 0.0,
        unit,
        statistics.median(a / c for a, c in zip(ours, limits, strict=True)) if limits else None,
        peer_name,
        peers or {},
    )


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add --json and --output, which every benchmark takes."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--output", type=Path, help="also write the JSON, with date and commit, to a file")


def print_report(
    bench: str,
    machine: Mapping[str, object],
    versions: Mapping[str, str],
    rounds: int,
    rows: Sequence[Row],
    options: argparse.Namespace,
) -> None:
    """Print a table or JSON, and write the file of --output (the format of benches/results)."""
    report = {
        "bench": bench,
        "date": datetime.date.today().isoformat(),
        "commit": _commit(),
        "machine": dict(machine),
        "versions": dict(versions),
        "rounds": rounds,
        "rows": [asdict(row) for row in rows],
    }
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    if options.json:
        print(json.dumps(report))
        return
    print(f"{bench}: {', '.join(f'{k} {v}' for k, v in {**machine, **versions}.items())}, {rounds} rounds")
    width = max([len(row.measure) for row in rows] + [12]) + 2
    columns = f"{'zeropoint':>12}{'peer':>12}{'ratio':>8}  {'unit':<6}{'of limit':>9}"
    print(f"{'measure':<{width}}{columns}  fastest competitor")
    for row in rows:
        share = "" if row.share is None else f"{row.share:.0%}"
        figures = f"{row.ours:>12.1f}{row.peer:>12.1f}{row.ratio:>7.2f}x"
        print(f"{row.measure:<{width}}{figures}  {row.unit:<6}{share:>9}  {row.peer_name}".rstrip())


def _commit() -> str:
    """The short hash of the checked-out commit, with "+" if files differ from it; "" outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
