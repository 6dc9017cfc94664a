"""The results file of ladders: one JSON line per measured loss, so that a change in our losses is noticed.

    {"date": "2026-01-31T20:15:00+00:00", "ladder": "build-gpt", "rung": "head", "published": [2.4], ...}

Lines are only appended. Each is flushed to disk before the next rung trains.
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import zeropoint
from zeropoint.engine.machine import machine
from zeropoint.files.atomic_write import append_lines
from zeropoint.learn.ladders.ladder import Ladder, StageResult

__all__ = ["append", "entry"]


def entry(ladder: Ladder, result: StageResult, seed: int) -> dict[str, Any]:
    """One result as a JSON object: date, machine, rung, published loss and ours."""
    stage, leak = result.stage, result.leak
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": zeropoint.__version__,
        "machine": {
            "processor": machine()["cpu"],
            "device": result.device,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "seed": seed,
        "ladder": ladder.name,
        "rung": result.name,
        "steps": result.n_steps,
        "evaluation_batches": stage.n_batches,
        "parameters": result.n_weights,
        "published": list(stage.published),
        "tolerance": stage.tolerance,
        "ours": round(result.ours, 6),
        "corrected": None if result.corrected is None else round(result.corrected, 6),
        "verdict": result.verdict,
        "reason": stage.reason,
        "leaks": [] if leak is None else [leak.module, *leak.others],
        "parameters_not_optimized": result.n_not_optimized,
        "seconds": round(result.seconds, 1),
        "source": ladder.source,
    }


def append(path: Path, *entries: dict[str, Any]) -> None:
    """Append entries to the file; with none, check that it is writable. Raises DiskError naming the file."""
    append_lines(path, *(json.dumps(entry, ensure_ascii=False) for entry in entries))
