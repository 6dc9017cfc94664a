"""Train in children of the fork server `forked.py`, which a test can kill."""

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
    """A fork server and its children."""

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
        """Start or resume a run. Returns the child's process id."""
        mode = "resume" if checkpoint.list_checkpoints(folder) else "start"
        print(folder, mode, *sets, file=self.pipe(self.process.stdin), flush=True)
        return int(self.pipe(self.process.stdout).readline())

    def end(self) -> int:
        """Wait for the child. Returns its exit code, or minus the number of the signal that ended it."""
        _, code = self.pipe(self.process.stdout).readline().split()
        return int(code)

    def close(self) -> str:
        """End the server. Returns its stderr."""
        _, errors = self.process.communicate()
        return errors

    @staticmethod
    def pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def curve(folder: Path) -> dict[int, str]:
    """Losses by step. A step that was computed twice must have the same loss."""
    losses: dict[int, str] = {}
    path = folder.with_suffix(".curve")
    for line in path.read_text().splitlines() if path.exists() else ():
        step, loss = line.split()
        assert losses.setdefault(int(step), loss) == loss, f"step {step} was {losses[int(step)]}, is {loss}"
    return losses


def send_after(pid: int, number: int, folder: Path, n_steps: int, later_s: float) -> None:
    """Send a signal `later_s` seconds after n_steps more steps."""
    target = len(curve(folder)) + n_steps
    _send(pid, number, lambda: len(curve(folder)) >= target, later_s)


def send_in_checkpoint(pid: int, number: int, folder: Path, later_s: float) -> None:
    """Send a signal `later_s` seconds after the run starts to write a checkpoint."""
    _send(pid, number, lambda: any(".tmp." in name for name in _names(folder / "checkpoints")), later_s)


def _send(pid: int, number: int, is_time: Callable[[], bool], later_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has already ended
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
