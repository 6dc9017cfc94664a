"""A run on a Ray cluster of two local nodes has the loss curve of one process, even if a worker is lost."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.process_group import Curve, losses
from tests.support.two_nodes import cluster
from zeropoint.errors import BadInput
from zeropoint.train.callbacks.callbacks import Callback, StepInfo
from zeropoint.train.callbacks.metrics import read_metrics
from zeropoint.train.config.config import EvalConfig, ModelConfig, RunConfig, SampleConfig, TrainConfig
from zeropoint.train.run.run import run

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytest.importorskip("ray")

__all__ = ["cluster"]

pytestmark = [
    pytest.mark.slow,
    # Raised by Ray itself.
    pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning"),
]

# A batch that does not divide among two workers, and evaluations that leave time to kill one.
CONFIG = RunConfig(
    ModelConfig(n_layers=2, n_heads=2, d_model=16, n_ctx=16),
    train=TrainConfig(
        steps=50, batch_size=5, checkpoint_every=10, max_checkpoints=50, threads=1, device="cpu"
    ),
    eval=EvalConfig(every=2, n_batches=8),
    sample=SampleConfig(),
)


@pytest.fixture(scope="module")
def address(cluster: Cluster) -> str:
    return str(cluster.address)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The losses of a single process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run(CONFIG, folder, [Curve(folder)])
    return losses(folder)


class Recorder(Callback):
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.notices: list[str] = []

    def on_step(self, info: StepInfo) -> None:
        self.steps.append(info.step)

    def on_notice(self, text: str) -> None:
        self.notices.append(text)


def test_two_workers_have_the_loss_curve_of_one_process(
    address: str, expected: dict[int, float], tmp_path: Path
) -> None:
    from zeropoint.train.distributed.ray import run_on_ray

    recorder = Recorder()
    result = run_on_ray(CONFIG, tmp_path / "run", recorder, address=address, n_workers=2)
    assert recorder.steps == list(range(1, 51))
    assert (result.step, result.stopped_by, result.n_tokens) == (50, "steps", 50 * 5 * 16)
    check_curve(tmp_path / "run", expected)
    assert len(list(result.checkpoint.glob("weights-*-of-00002.safetensors"))) == 2
    assert not (tmp_path / "run/ray").exists()


class Killer(Recorder):
    """Kills rank 0, which holds the run's lock, after some steps."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.killed = 0

    def on_step(self, info: StepInfo) -> None:
        super().on_step(info)
        if info.step >= 13 and not self.killed:
            holder = re.search(r"process (\d+)", (self.folder / "lock").read_text())
            assert holder is not None
            self.killed = int(holder[1])
            os.kill(self.killed, signal.SIGKILL)


def test_more_workers_than_cpus_are_refused(address: str, tmp_path: Path) -> None:
    from zeropoint.train.distributed.ray import run_on_ray

    with pytest.raises(BadInput, match=r"--workers is 3, but the cluster at .* has 2 CPUs"):
        run_on_ray(CONFIG, tmp_path / "run", Recorder(), address=address, n_workers=3)


def test_a_killed_worker_does_not_change_the_losses(
    address: str, expected: dict[int, float], tmp_path: Path
) -> None:
    from zeropoint.train.distributed.ray import run_on_ray

    killer = Killer(tmp_path / "run")
    result = run_on_ray(CONFIG, tmp_path / "run", killer, address=address, n_workers=2)
    _, notice = killer.notices  # the first one reports joining the cluster
    assert re.fullmatch(r"a worker was lost; resuming after step [1-4]\d", notice)
    assert result.step == 50
    check_curve(tmp_path / "run", expected)


class NodeRemover(Recorder):
    """Removes a node of the cluster after some steps, with its worker."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster

    def on_step(self, info: StepInfo) -> None:
        super().on_step(info)
        if info.step >= 13 and self.cluster.worker_nodes:
            (node,) = self.cluster.worker_nodes
            self.cluster.remove_node(node, allow_graceful=False)


def test_training_continues_on_the_remaining_node(
    cluster: Cluster, address: str, expected: dict[int, float], tmp_path: Path
) -> None:
    """Keep this test last: afterwards the cluster has one node."""
    from zeropoint.train.distributed.ray import run_on_ray

    remover = NodeRemover(cluster)
    result = run_on_ray(CONFIG, tmp_path / "run", remover, address=address, n_workers=2)
    assert any(re.fullmatch(r"a worker was lost; resuming after step [1-4]\d", n) for n in remover.notices)
    assert result.step == 50
    check_curve(tmp_path / "run", expected)
    n_shards = {p.name: len(list(p.glob("weights*.safetensors"))) for p in result.checkpoint.parent.iterdir()}
    assert (n_shards["step-000010"], n_shards["step-000050"]) == (2, 1)


def check_curve(folder: Path, expected: dict[int, float]) -> None:
    steps, _ = read_metrics(folder)
    assert [step["step"] for step in steps] == list(expected)
    assert max(abs(step["loss"] - expected[step["step"]]) for step in steps) < 1e-4
