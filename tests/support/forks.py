"""Trainings in children of `forked.py`, which a test may kill."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from tests.support.tree import ROOT
from zeropoint.train.checkpoints import checkpoint


class Forks:
    """Children of a process that has torch loaded."""

    def __init__(self) -> None:
        environ = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environ,
        )
        assert self.pipe(self.process.stdout).readline() == "ready\n"

    def start(self, folder: Path, *sets: str) -> int:
        """Begin to train, or go on; the child's number."""
        how = "resume" if checkpoint.list_checkpoints(folder) else "start"
        print(folder, how, *sets, file=self.pipe(self.process.stdin), flush=True)
        return int(self.pipe(self.process.stdout).readline())

    def end(self) -> int:
        """Wait for the child; its exit code, or minus the signal that ended it."""
        _, code = self.pipe(self.process.stdout).readline().split()
        return int(code)

    def close(self) -> str:
        """What was said on stderr."""
        _, said = self.process.communicate()
        return said

    @staticmethod
    def pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def curve(folder: Path) -> dict[int, str]:
    """Losses by step, as they were told; a step told twice was told the same."""
    found: dict[int, str] = {}
    path = folder.with_suffix(".curve")
    for line in path.read_text().splitlines() if path.exists() else ():
        step, loss = line.split()
        assert found.setdefault(int(step), loss) == loss, f"step {step} was {found[int(step)]}, is {loss}"
    return found


def send_after(pid: int, number: int, folder: Path, n_steps: int, later_s: float) -> None:
    """Send a signal to a training once it has told so many more steps, and some time has passed."""
    wanted = len(curve(folder)) + n_steps
    _send(pid, number, lambda: len(curve(folder)) >= wanted, later_s)


def send_in_checkpoint(pid: int, number: int, folder: Path, later_s: float) -> None:
    """Send a signal to a training once it has begun to write a checkpoint, and some time has passed."""
    _send(pid, number, lambda: any(".tmp." in name for name in _names(folder / "checkpoints")), later_s)


def _send(pid: int, number: int, is_time: Callable[[], bool], later_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):  # it is over already
        while not is_time():
            os.kill(pid, 0)
            time.sleep(0.0002)
        time.sleep(later_s)
        os.kill(pid, number)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
