"""Ray runs without a cluster: addresses, events between processes, and failing starts."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from zeropoint.errors import BadInput, MachineError
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, RunInfo, StepInfo
from zeropoint.train.callbacks.event_log import EventReader, EventWriter
from zeropoint.train.config.config import RunConfig

pytest.importorskip("ray")

from zeropoint import ray_cluster
from zeropoint.train.distributed import ray as on_ray
from zeropoint.train.distributed import ray_worker


def test_a_head_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    with socket.socket() as bound:  # bound but not listening, so nothing answers
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(
            BadInput, match=f"--ray {address}: no Ray cluster there .*ray start --head"
        ) as caught:
            on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address=address, n_workers=2)
    assert caught.value.exit_code == 2
    assert list((tmp_path / "run").iterdir()) == [tmp_path / "run" / "checkpoints"]


def test_joining_times_out_if_the_address_is_not_a_ray_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "_JOIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BadInput, match="did not accept a driver within 0 s"):
            on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address=address, n_workers=1)


RAISES = "raise type({kind!r}, (Exception,), {{}})('RPC error: it failed')"


@pytest.mark.parametrize(
    ("kind", "message"),
    [("AuthenticationError", "set RAY_AUTH_MODE=token"), ("ConnectionError", r"\(RPC error: it failed\)")],
)
def test_the_error_says_why_a_cluster_cannot_be_joined(
    kind: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "_JOIN_PROGRAM", RAISES.format(kind=kind))
    with pytest.raises(BadInput, match=f"^--ray auto: .*{message}"):
        on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address="auto", n_workers=1)


def test_a_cluster_needs_a_cpu_per_worker() -> None:
    with pytest.raises(BadInput, match="--workers is 3, but the cluster at auto has 2 CPUs") as caught:
        on_ray.has_gpus({"CPU": 2.0}, 3, "auto")
    assert caught.value.exit_code == 2
    with pytest.raises(BadInput, match="has 0 CPUs"):
        on_ray.has_gpus({}, 1, "auto")


def test_gpus_are_used_only_if_every_worker_gets_one() -> None:
    assert not on_ray.has_gpus({"CPU": 2.0}, 2, "auto")
    assert not on_ray.has_gpus({"CPU": 4.0, "GPU": 1.0}, 2, "auto")
    assert on_ray.has_gpus({"CPU": 4.0, "GPU": 2.0}, 2, "auto")


@pytest.mark.parametrize("address", ["head", "head:port", ":1", "http://head:1/x"])
def test_a_malformed_address_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected HOST:PORT"):
        on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address=address, n_workers=1)


def test_without_ray_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray.train.torch", None)
    with pytest.raises(BadInput, match=r"pip install 'ray\[train\]'") as caught:
        on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address="auto", n_workers=1)
    assert caught.value.exit_code == 2


STEP = StepInfo(3, 96, 2.5, 1e-3, 0.7, 1e4, 0.5, 1 << 20, {"blocks.0.norm.weight": 0.25})
EVAL = EvalInfo(3, 96, None, 2.4, 0.6, True)


class EventList(Callback):
    """All events, in order."""

    def __init__(self) -> None:
        self.all: list[object] = []

    def on_start(self, info: RunInfo) -> None:
        self.all.append(info)

    def on_step(self, info: StepInfo) -> None:
        self.all.append(info)

    def on_eval(self, info: EvalInfo) -> None:
        self.all.append(info)

    def on_sample(self, step: int, text: str) -> None:
        self.all.append((step, text))

    def on_checkpoint(self, path: Path) -> None:
        self.all.append(path)

    def on_notice(self, text: str) -> None:
        self.all.append(text)


def test_events_are_forwarded_once_and_unchanged(tmp_path: Path) -> None:
    start = RunInfo(RunConfig(), tmp_path, 1000, 20, 0, 32, 64)
    events, path = EventList(), tmp_path / "events.jsonl"
    reader = EventReader(RunConfig(), tmp_path, path, events)
    reader.forward()  # before the file exists
    writer = EventWriter(path)
    writer.on_start(start)
    writer.on_step(STEP)
    reader.forward()
    writer.on_eval(EVAL)
    writer.on_sample(3, "once\nupon")
    writer.on_checkpoint(tmp_path / "step-000003")
    with path.open("a") as file:
        file.write('{"kind": "not')
    reader.forward()
    reader.forward()
    assert events.all == [start, STEP, EVAL, (3, "once\nupon"), tmp_path / "step-000003"]


def test_a_second_start_becomes_a_notice(tmp_path: Path) -> None:
    events, path = EventList(), tmp_path / "events.jsonl"
    for first_step in (0, 10):  # two processes, the first of which was lost
        EventWriter(path).on_start(RunInfo(RunConfig(), tmp_path, 1000, 20, first_step, 32, 64))
    EventReader(RunConfig(), tmp_path, path, events).forward()
    assert events.all[1:] == ["a worker was lost; resuming after step 10"]


def test_workers_without_progress_are_not_restarted_forever(tmp_path: Path) -> None:
    args = ray_worker.WorkerArgs(RunConfig(), tmp_path, tmp_path, tmp_path, {})
    for _ in range(4):
        ray_worker._count_start(args)
    (tmp_path / "checkpoints/step-000010").mkdir(parents=True)
    (tmp_path / "latest").write_text("step-000010\n")
    for _ in range(4):
        ray_worker._count_start(args)
    with pytest.raises(MachineError, match="lost 4 times without a new checkpoint"):
        ray_worker._count_start(args)


def test_the_first_outcome_is_kept(tmp_path: Path) -> None:
    outcome = tmp_path / ray_worker.OUTCOME
    ray_worker._write_outcome(outcome, {"error": "data.source is missing", "exit_code": 2})
    ray_worker._write_outcome(outcome, {"error": "connection closed", "exit_code": 1})
    assert json.loads(outcome.read_text())["exit_code"] == 2
    with pytest.raises(BadInput, match="source is missing"):
        on_ray._outcome(tmp_path, tmp_path, None)


def test_without_an_outcome_the_error_names_the_last_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoints/step-000010").mkdir(parents=True)
    (tmp_path / "latest").write_text("step-000010\n")
    with pytest.raises(MachineError, match=r"failed \(lost\). The last good checkpoint is .*step-000010"):
        on_ray._outcome(tmp_path, tmp_path, RuntimeError("lost\nmore"))
