"""A fork server with torch loaded: each command forks a child that trains without start-up time.

`python -m tests.support.forked` reads lines "FOLDER start|resume OVERRIDE ...", prints the child's process
id, and "end CODE" when it ends.
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
    """Writes every loss, exactly, to a file with unbuffered writes that survive a kill."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_step(self, info: StepInfo) -> None:
        os.write(self.fd, f"{info.step} {info.loss.hex()}\n".encode())


def train(folder: Path, resume: bool, sets: list[str]) -> int:
    """Train in this process. Returns the exit code of the command."""
    config_path = folder.with_suffix(".toml")
    config_path.write_text(TINY)
    try:
        callback = Curve(folder.with_suffix(".curve"))
        return run(read_config(config_path, sets), folder, [callback], resume=resume).exit_code
    except ZeropointError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code


def main() -> None:
    """Serve commands until stdin closes."""
    # Import what a run imports, but do not train: autograd's threads would not survive a fork.
    config = RunConfig(model=ModelConfig(n_layers=1, n_heads=1, d_model=8, n_ctx=8))
    prepare(config)
    config.optimizer.build(torch.nn.Linear(1, 1))
    print("ready", flush=True)
    for line in sys.stdin:
        folder, mode, *sets = line.split()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = train(Path(folder), mode == "resume", sets)
            except KeyboardInterrupt:
                code = 130
            finally:
                os._exit(code)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print("end", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
