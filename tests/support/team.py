"""Two processes that train as one, without Ray: torch.distributed over gloo on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["train_together"]

_WORKER = """
import sys
from pathlib import Path
import torch, torch.distributed as dist
from zeropoint.train.config import read_config
from zeropoint.train.watch import Watcher
from zeropoint.train.run import run
from zeropoint.train.torch_team import ShardedTeam, TorchTeam

class Curve(Watcher):
    def on_step(self, info):
        with open(sys.argv[3] + "-curve", "a") as file:
            file.write(f"{info.step} {info.loss!r} {info.n_tokens}\\n")

    def on_eval(self, info):
        with open(sys.argv[3] + "-judged", "a") as file:
            file.write(f"{info.step} {info.validation_loss!r}\\n")

meeting, config, out, rank, n_workers, is_resumed = sys.argv[1:]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=int(rank), world_size=int(n_workers))
read = read_config(Path(config))
kind = ShardedTeam if read.train.sharding == "fsdp" else TorchTeam
team = kind(torch.device("cpu"))
run(read, Path(out), [Curve()] if team.rank == 0 else [], resume=is_resumed == "1", team=team)
dist.destroy_process_group()
"""


def train_together(config: Path, out: Path, n_workers: int, *, resume: bool = False) -> None:
    """Train a configuration in as many processes; raises AssertionError with what one of them said."""
    meeting = out.with_name(f"{out.name}-meeting-{n_workers}-{resume}")
    arguments = [str(meeting), str(config), str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, *arguments, str(rank), str(n_workers), str(int(resume))],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(n_workers)
    ]
    try:
        told = [worker.communicate(timeout=120)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0] * n_workers, "\n".join(told)
