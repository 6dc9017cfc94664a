"""The ledger of ladders: a line of JSON for every loss that was measured, kept so that a change is seen.

    {"date": "2026-01-31T20:15:00+00:00", "ladder": "build-gpt", "rung": "head", "published": [2.4], ...}

Lines are only ever added, each in one write that is on the disk before the next is measured.
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import zeropoint
from zeropoint.files.atomic_write import append_lines
from zeropoint.learn.ladder import Ladder, Reached
from zeropoint.planning import roofline

__all__ = ["append", "entry"]


def entry(ladder: Ladder, reached: Reached, seed: int) -> dict[str, Any]:
    """What a line says: when, what, on which machine, published and ours."""
    stage, leak = reached.stage, reached.leak
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": zeropoint.__version__,
        "machine": {
            "processor": roofline.machine()["cpu"],
            "device": reached.device,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "seed": seed,
        "ladder": ladder.name,
        "rung": reached.name,
        "n_steps": reached.n_steps,
        "n_batches": stage.n_batches,
        "n_weights": reached.n_weights,
        "published": list(stage.published),
        "tolerance": stage.tolerance,
        "ours": round(reached.ours, 6),
        "corrected": None if reached.corrected is None else round(reached.corrected, 6),
        "verdict": reached.verdict,
        "reason": stage.reason,
        "leaks": [] if leak is None else [leak.module, *leak.others],
        "n_unheld": reached.n_unheld,
        "seconds": round(reached.seconds, 1),
        "source": ladder.source,
    }


def append(path: Path, *entries: dict[str, Any]) -> None:
    """Add entries to the ledger; with none, see that it can be written. Raises DiskError naming the file."""
    append_lines(path, *(json.dumps(one, ensure_ascii=False) for one in entries))
