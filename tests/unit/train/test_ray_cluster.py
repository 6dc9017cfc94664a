"""A run on a local Ray cluster of two nodes has the curve of one process, also when one of them is lost."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.process_group import Curve, losses
from zeropoint.train.callbacks.callbacks import Callback, StepInfo
from zeropoint.train.callbacks.metrics import read_metrics
from zeropoint.train.config.config import EvalConfig, ModelConfig, RunConfig, SampleConfig, TrainConfig
from zeropoint.train.run.run import run

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytest.importorskip("ray")

pytestmark = [
    pytest.mark.slow,
    # Ray's own, of what it sets itself.
    pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning"),
]

# Rows that do not divide, and looks at the validation split so that there is time to be killed in.
CONFIG = RunConfig(
    ModelConfig(n_layers=2, n_heads=2, d_model=16, n_ctx=16),
    train=TrainConfig(
        steps=50, batch_size=5, checkpoint_every=10, max_checkpoints=50, threads=1, device="cpu"
    ),
    eval=EvalConfig(every=2, n_batches=8),
    sample=SampleConfig(),
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of a cluster of two nodes with a processor each; afterwards nothing of it is left."""
    from ray._raylet import RunConfig as RayConfig
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="zp")  # short: sockets lie in it
    environment = {
        "RAY_TMPDIR": folder,
        # Ray listens on every interface; nobody else has this token.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_worker_niceness": "0",  # by default workers give way to whatever else runs here
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        "RAY_TRAIN_METRICS_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        RayConfig.initialize("")  # which had read the variables as it was imported
        node = {"num_cpus": 1, "object_store_memory": 80_000_000}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        try:
            cluster.add_node(**node)
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def address(cluster: Cluster) -> str:
    return str(cluster.address)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The losses of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run(CONFIG, folder, [Curve(folder)])
    return losses(folder)


class Heard(Callback):
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.notices: list[str] = []

    def on_step(self, info: StepInfo) -> None:
        self.steps.append(info.step)

    def on_notice(self, text: str) -> None:
        self.notices.append(text)


def test_the_curve_is_that_of_one_process(address: str, expected: dict[int, float], tmp_path: Path) -> None:
    from zeropoint.train.distributed.ray import run_on_ray

    heard = Heard()
    result = run_on_ray(CONFIG, tmp_path / "run", heard, address=address, n_workers=2)
    assert heard.steps == list(range(1, 51))
    assert (result.step, result.stopped_by, result.n_tokens) == (50, "steps", 50 * 5 * 16)
    check_curve(tmp_path / "run", expected)
    assert len(list(result.checkpoint.glob("weights-*-of-00002.safetensors"))) == 2
    assert not (tmp_path / "run/ray").exists()


class Killer(Heard):
    """Kills the first worker, which holds the run's lock, after some steps."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.killed = 0

    def on_step(self, info: StepInfo) -> None:
        super().on_step(info)
        if info.step >= 13 and not self.killed:
            found = re.search(r"process (\d+)", (self.folder / "lock").read_text())
            assert found is not None
            self.killed = int(found[1])
            os.kill(self.killed, signal.SIGKILL)


def test_a_killed_worker_loses_nothing(address: str, expected: dict[int, float], tmp_path: Path) -> None:
    from zeropoint.train.distributed.ray import run_on_ray

    killer = Killer(tmp_path / "run")
    result = run_on_ray(CONFIG, tmp_path / "run", killer, address=address, n_workers=2)
    _, notice = killer.notices  # the first: that the cluster is joined
    assert re.fullmatch(r"a worker was lost; going on after step [1-4]\d", notice)
    assert result.step == 50
    check_curve(tmp_path / "run", expected)


class Unplugger(Heard):
    """Takes a whole node away after some steps, with all that runs on it."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster

    def on_step(self, info: StepInfo) -> None:
        super().on_step(info)
        if info.step >= 13 and self.cluster.worker_nodes:
            (node,) = self.cluster.worker_nodes
            self.cluster.remove_node(node, allow_graceful=False)


def test_a_node_that_is_gone_for_good_leaves_the_rest_to_go_on(
    cluster: Cluster, address: str, expected: dict[int, float], tmp_path: Path
) -> None:
    """The last of this file: the cluster has a node less after it."""
    from zeropoint.train.distributed.ray import run_on_ray

    unplugger = Unplugger(cluster)
    result = run_on_ray(CONFIG, tmp_path / "run", unplugger, address=address, n_workers=2)
    assert any(re.fullmatch(r"a worker was lost; going on after step [1-4]\d", n) for n in unplugger.notices)
    assert result.step == 50
    check_curve(tmp_path / "run", expected)
    shares = {p.name: len(list(p.glob("weights*.safetensors"))) for p in result.checkpoint.parent.iterdir()}
    # Of two workers, then of the one that was left.
    assert (shares["step-000010"], shares["step-000050"]) == (2, 1)


def check_curve(folder: Path, expected: dict[int, float]) -> None:
    steps, _ = read_metrics(folder)
    assert [step["step"] for step in steps] == list(expected)
    assert max(abs(step["loss"] - expected[step["step"]]) for step in steps) < 1e-4
