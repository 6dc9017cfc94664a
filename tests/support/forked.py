"""A process that has torch loaded and forks one child a command: a training that starts at once.

`python -m tests.support.forked` reads lines "FOLDER start|resume SET ...", answers with the child's number,
and with "end CODE" when it is over.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from zeropoint.errors import ZeropointError
from zeropoint.train.callbacks.callbacks import Callback, StepInfo
from zeropoint.train.config.config import ModelConfig, RunConfig
from zeropoint.train.config.io import read_config
from zeropoint.train.run.prepare import prepare
from zeropoint.train.run.run import run

TINY = """
[model]
n_layers = 1
n_heads = 2
d_model = 16
n_ctx = 16
dropout = 0.1
[train]
steps = 40
batch_size = 4
checkpoint_every = 3
ema_decay = 0.9
threads = 1
device = "cpu"
[schedule]
warmup_steps = 5
[eval]
every = 7
n_batches = 1
on_train = false
"""


class Curve(Callback):
    """Every loss, exactly, in a file that a kill cannot take back."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_step(self, info: StepInfo) -> None:
        os.write(self.fd, f"{info.step} {info.loss.hex()}\n".encode())


def train(folder: Path, resume: bool, sets: list[str]) -> int:
    """One run in this process; what it would end a command with."""
    config_path = folder.with_suffix(".toml")
    config_path.write_text(TINY)
    try:
        watcher = Curve(folder.with_suffix(".curve"))
        return run(read_config(config_path, sets), folder, [watcher], resume=resume).exit_code
    except ZeropointError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code


def main() -> None:
    """Serve until the input ends."""
    # Loads what a run loads; nothing is learnt, since a child must find torch's engine untouched.
    config = RunConfig(model=ModelConfig(n_layers=1, n_heads=1, d_model=8, n_ctx=8))
    prepare(config)
    config.optimizer.build(torch.nn.Linear(1, 1))
    print("ready", flush=True)
    for line in sys.stdin:
        folder, how, *sets = line.split()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = train(Path(folder), how == "resume", sets)
            except KeyboardInterrupt:
                code = 130
            finally:
                os._exit(code)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print("end", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
