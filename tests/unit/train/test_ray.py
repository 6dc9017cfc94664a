"""What a run on Ray is without a cluster: addresses, files between processes, starts that fail."""

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

from zeropoint.train.distributed import ray as on_ray
from zeropoint.train.distributed import ray_worker


def test_a_head_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nothing answers there
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BadInput, match=f"--ray {address}: there is no .*ray start --head") as failed:
            on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address=address, n_workers=2)
    assert failed.value.exit_code == 2
    assert list((tmp_path / "run").iterdir()) == [tmp_path / "run" / "checkpoints"]


def test_what_answers_and_is_no_head_is_waited_for_no_longer_than_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "_JOIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BadInput, match="did not take a driver within 0 s"):
            on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address=address, n_workers=1)


RAISES = "raise type({kind!r}, (Exception,), {{}})('RPC error: it failed')"


@pytest.mark.parametrize(
    ("kind", "says"),
    [("AuthenticationError", "set RAY_AUTH_MODE=token"), ("ConnectionError", r"\(RPC error: it failed\)")],
)
def test_why_a_cluster_cannot_be_joined_is_told(
    kind: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "_TRY", RAISES.format(kind=kind))
    with pytest.raises(BadInput, match=f"^--ray auto: .*{says}"):
        on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address="auto", n_workers=1)


def test_more_workers_than_the_cluster_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(on_ray, "_TRY", "")
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(BadInput, match="--workers is 3, and the cluster at auto has 2 processors") as failed:
        on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address="auto", n_workers=3)
    assert failed.value.exit_code == 2


@pytest.mark.parametrize("address", ["head", "head:port", ":1", "http://head:1/x"])
def test_what_is_no_address_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected HOST:PORT"):
        on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address=address, n_workers=1)


def test_without_ray_the_install_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.train.torch", None)
    with pytest.raises(BadInput, match=r'pip install "zeropoint\[ray\]"') as failed:
        on_ray.run_on_ray(RunConfig(), tmp_path / "run", Callback(), address="auto", n_workers=1)
    assert failed.value.exit_code == 2


STEP = StepInfo(3, 96, 2.5, 1e-3, 0.7, 1e4, 0.5, 1 << 20, {"blocks.0.norm.weight": 0.25})
EVAL = EvalInfo(3, 96, None, 2.4, 0.6, True)


class Heard(Callback):
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


def test_what_a_worker_tells_is_heard_as_it_was_told_and_once(tmp_path: Path) -> None:
    start = RunInfo(RunConfig(), tmp_path, 1000, 20, 0, 32)
    heard, path = Heard(), tmp_path / "told.jsonl"
    follower = EventReader(RunConfig(), tmp_path, path, heard)
    follower.tell()  # before there is anything
    teller = EventWriter(path)
    teller.on_start(start)
    teller.on_step(STEP)
    follower.tell()
    teller.on_eval(EVAL)
    teller.on_sample(3, "once\nupon")
    teller.on_checkpoint(tmp_path / "step-000003")
    with path.open("a") as file:
        file.write('{"kind": "not')
    follower.tell()
    follower.tell()
    assert heard.all == [start, STEP, EVAL, (3, "once\nupon"), tmp_path / "step-000003"]


def test_a_second_start_is_a_notice(tmp_path: Path) -> None:
    heard, path = Heard(), tmp_path / "told.jsonl"
    for first_step in (0, 10):  # of two processes: the first was lost
        EventWriter(path).on_start(RunInfo(RunConfig(), tmp_path, 1000, 20, first_step, 32))
    EventReader(RunConfig(), tmp_path, path, heard).tell()
    assert heard.all[1:] == ["a worker was lost; going on after step 10"]


def test_workers_that_get_nowhere_are_not_started_for_ever(tmp_path: Path) -> None:
    given = ray_worker.Given(RunConfig(), tmp_path, tmp_path, tmp_path, {})
    for _ in range(4):
        ray_worker._count_start(given)
    (tmp_path / "checkpoints/step-000010").mkdir(parents=True)
    (tmp_path / "latest").write_text("step-000010\n")
    for _ in range(4):
        ray_worker._count_start(given)
    with pytest.raises(MachineError, match="lost 4 times without a new checkpoint"):
        ray_worker._count_start(given)


def test_the_first_word_about_the_end_is_the_one_that_counts(tmp_path: Path) -> None:
    outcome = tmp_path / ray_worker.OUTCOME
    ray_worker._write_down(outcome, {"error": "data.source is missing", "exit_code": 2})
    ray_worker._write_down(outcome, {"error": "connection closed", "exit_code": 1})
    assert json.loads(outcome.read_text())["exit_code"] == 2
    with pytest.raises(BadInput, match="source is missing"):
        on_ray._outcome(tmp_path, tmp_path, None)


def test_workers_that_end_without_a_word_leave_the_last_checkpoint_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoints/step-000010").mkdir(parents=True)
    (tmp_path / "latest").write_text("step-000010\n")
    with pytest.raises(MachineError, match=r"failed \(lost\). The last good checkpoint is .*step-000010"):
        on_ray._outcome(tmp_path, tmp_path, RuntimeError("lost\nmore"))
