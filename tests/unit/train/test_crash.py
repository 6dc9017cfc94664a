"""Runs that are killed at random moments or interrupted: little is lost, and the losses do not change."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.forks import Forks, curve, send_after, send_in_checkpoint
from zeropoint.errors import MachineError
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.config import ModelConfig, RunConfig
from zeropoint.train.run.run import run

N_KILLS = int(os.environ.get("ZEROPOINT_TEST_KILLS", "20"))
INTERVAL, LAST = 3, 40  # of tests/support/forked.py


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close()


@pytest.mark.train
def test_killed_at_random_moments_a_run_loses_at_most_one_interval(forks: Forks, folder: Path) -> None:
    forks.start(folder / "uninterrupted")
    assert forks.end() == 0
    expected, weights = curve(folder / "uninterrupted"), last_weights(folder / "uninterrupted")
    assert len(expected) == LAST
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    n_kills, n_runs, n_lost = 0, 0, 0
    while n_kills < N_KILLS or n_runs == 0:
        path = folder / f"killed-{n_runs}"
        pid = forks.start(path)
        if n_kills < N_KILLS and rng.random() < 0.4:
            send_in_checkpoint(pid, signal.SIGKILL, path, rng.uniform(0, 0.004))
        elif n_kills < N_KILLS:
            send_after(pid, signal.SIGKILL, path, rng.choice((0, 1, 3, 7)), rng.uniform(0, 0.03))
        code = forks.end()
        n_kills += code == -signal.SIGKILL
        lost = max(curve(path), default=0) - newest_step(path)
        assert code in (0, -signal.SIGKILL), f"seed {seed}"
        assert 0 <= lost <= INTERVAL, f"seed {seed}: {lost} steps lost after {n_kills} kills"
        n_lost += lost > 0
        if code == 0:
            assert curve(path) == expected, f"seed {seed}"
            assert last_weights(path) == weights
            assert pointers(path) == pointers(folder / "uninterrupted")
            assert not list(path.rglob("*.tmp.*"))
            n_runs += 1
    assert n_lost  # some kills fell between two checkpoints


def newest_step(path: Path) -> int:
    """The step of the newest intact checkpoint; 0 without a checkpoint."""
    if not checkpoint.list_checkpoints(path):
        return 0
    saved, damaged = checkpoint.load_newest(path)
    assert damaged == []
    return saved.state.step


def pointers(path: Path) -> list[str]:
    return [(path / name).read_text() for name in ("latest", "best")]


def last_weights(path: Path) -> bytes:
    return (path / f"checkpoints/step-{LAST:06d}/weights.safetensors").read_bytes()


LONG = "train.steps=100000"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_a_signal_ends_a_run_after_a_checkpoint(forks: Forks, folder: Path, number: int, code: int) -> None:
    path = folder / "run"
    pid = forks.start(path, LONG, "train.checkpoint_every=0", "eval.every=0")
    send_after(pid, number, path, 2, 0.0)
    assert forks.end() == code
    assert newest_step(path) == max(curve(path)) >= 2


def test_a_second_signal_ends_the_run_at_once(forks: Forks, folder: Path) -> None:
    path = folder / "run"
    # The first evaluation takes forever, so only a second signal can end it.
    pid = forks.start(path, LONG, "eval.n_batches=1000000")
    while not (path / "run.json").exists():  # from then on signals are handled
        time.sleep(0.001)
    os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    os.kill(pid, signal.SIGINT)
    assert forks.end() == 130
    assert curve(path) == {}


def test_a_second_trainer_is_refused_and_the_first_is_named(forks: Forks, folder: Path) -> None:
    path = folder / "run"
    pid = forks.start(path, LONG)
    send_after(pid, 0, path, 1, 0.0)
    config = RunConfig(model=ModelConfig(n_layers=1, n_heads=2, d_model=16, n_ctx=16))
    try:
        with pytest.raises(MachineError, match=rf"is being trained by process {pid} since 20..-..-.. ..:..:"):
            run(config, path, resume=True)
    finally:
        os.kill(pid, signal.SIGKILL)
        assert forks.end() == -signal.SIGKILL
