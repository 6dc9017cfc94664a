"""The ledger of ladders: a line of JSON for every loss that was measured, kept so that a change is seen.

    {"date": "2026-01-31T20:15:00+00:00", "ladder": "build-gpt", "rung": "head", "published": [2.4], ...}

Lines are only ever added, each in one write that is on the disk before the next is measured.
"""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import zeropoint
from zeropoint.engine import roofline
from zeropoint.errors import DiskError
from zeropoint.evaluate.ladder import Ladder, Reached

__all__ = ["append", "entry"]


def entry(ladder: Ladder, reached: Reached, seed: int) -> dict[str, Any]:
    """What a line says: when, what, on which machine, published and ours."""
    stage, leak = reached.stage, reached.leak
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": zeropoint.__version__,
        "machine": {
            "processor": roofline.machine()["cpu"],
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
        "honest": None if reached.honest is None else round(reached.honest, 6),
        "verdict": reached.verdict,
        "reason": stage.reason,
        "leaks": [] if leak is None else [leak.module, *leak.others],
        "n_unheld": reached.n_unheld,
        "seconds": round(reached.seconds, 1),
        "source": ladder.source,
    }


def append(path: Path, *lines: dict[str, Any]) -> None:
    """Add lines to the ledger, which is made if it is not there; with none, see that it can be written.

    Raises DiskError naming the file.
    """
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(fd).st_size
            is_cut = (
                size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            )  # by a full disk, say: it stays a line alone
            with os.fdopen(fd, "ab", buffering=0, closefd=False) as file:
                file.write(b"\n" * is_cut + text)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise DiskError(
            f"the ledger {path} cannot be written: {error.strerror}; give another file by --ledger"
        ) from None
