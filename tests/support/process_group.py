"""Distributed training on this machine without Ray: processes that use torch.distributed with gloo.

Run as a module, this file is the program of each process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, StepInfo

__all__ = ["Curve", "losses", "train_together", "validation_losses"]


class Curve(Callback):
    """Writes losses to files next to a run's folder."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def on_step(self, info: StepInfo) -> None:
        self._append("curve", info.step, info.loss)

    def on_eval(self, info: EvalInfo) -> None:
        self._append("validation", info.step, info.validation_loss)

    def _append(self, what: str, step: int, loss: float) -> None:
        with open(f"{self._out}-{what}", "a") as file:
            file.write(f"{step} {loss!r}\n")


def losses(out: Path) -> dict[int, float]:
    """The loss of each step; the last one if a step was repeated."""
    return _read(out, "curve")


def validation_losses(out: Path) -> dict[int, float]:
    """The validation loss of each evaluation."""
    return _read(out, "validation")


def _read(out: Path, what: str) -> dict[int, float]:
    lines = Path(f"{out}-{what}").read_text().splitlines()
    return {int(line.split()[0]): float(line.split()[1]) for line in lines}


def train_together(configs: Sequence[Path], out: Path, n_workers: int) -> None:
    """Train with the first configuration and resume with the others. Raises AssertionError with stderr."""
    arguments = [str(n_workers), f"{out}-rendezvous", str(out), *map(str, configs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.process_group", str(rank), *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(n_workers)
    ]
    try:
        errors = [worker.communicate(timeout=240)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0] * n_workers, "\n".join(errors)


def _work(rank: int, n_workers: int, rendezvous: str, out: Path, configs: Sequence[str]) -> None:
    import torch
    import torch.distributed as dist

    from zeropoint.train.config.io import read_config
    from zeropoint.train.distributed.ddp_fsdp import DDPGroup, FSDPGroup
    from zeropoint.train.run.run import run

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=n_workers)
    for i, config in enumerate(configs):
        read = read_config(Path(config))
        group = (FSDPGroup if read.train.sharding == "fsdp" else DDPGroup)(torch.device("cpu"))
        run(read, out, [] if rank else [Curve(out)], resume=i > 0, group=group)
    dist.destroy_process_group()


if __name__ == "__main__":
    _work(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), sys.argv[5:])
