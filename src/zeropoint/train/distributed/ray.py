"""A run on several machines: the same configuration on Ray Train, with torch's DDP or FSDP2 inside.

The rows of each batch are split among the workers and gradients are averaged, so the loss curve is that of
one process (`torch_team.py`). All workers see the run's folder under one path: one machine, or a shared disk.
Ray starts the workers, and starts them anew from the newest checkpoint when one is lost, fewer where fewer
are left. What passes between its processes is our own configuration and functions; what is kept is
safetensors and JSON, read by no pickle.

`outcome.json`, in a folder that lives as long as the run, tells the driver how it ended; `asked` in it tells
the workers that a signal came.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.errors import BadInput, MachineError
from zeropoint.train.callbacks.callbacks import Callback, Result
from zeropoint.train.callbacks.event_log import EventReader
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.validate import check
from zeropoint.train.distributed.ray_worker import ASKED, OUTCOME, TOLD, Given, work
from zeropoint.train.run.run import prepare_folder
from zeropoint.train.run.signals import graceful_shutdown
from zeropoint.weights.json_file import read_json_object

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

__all__ = ["LOCAL", "run_on_ray"]

LOCAL = "local"  # the address of a cluster that is started here, for this run
_SCRATCH = "ray"
_ANSWER_S = 5.0  # how long a head may take to answer
_JOIN_S = 40.0  # how long it may take to become a driver there; mostly Ray's own start
_TRY = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='error')"
_POLL_S = 0.3
_STARTS = 32  # of all workers, in one run; `ray_worker.py` ends earlier those that get nowhere
_MOST_JSON_BYTES = 1 << 20


def run_on_ray(
    config: RunConfig,
    folder: Path,
    watcher: Callback,
    *,
    address: str,
    n_workers: int,
    resume: bool = False,
) -> Result:
    """Train as configured on the cluster at `address` ("host:port", "auto" or "local"), and tell the watcher.

    The run's files (metrics, samples, report) are written by the first worker. Raises BadInput, also where
    Ray is not installed, no head answers or the cluster is too small, MachineError for workers that cannot
    go on, and whatever ended the run on a worker.
    """
    _need_ray()
    if n_workers < 1:
        raise BadInput(f"--workers is {n_workers}; expected 1 or more")
    check(config, n_workers)
    folder = folder.absolute()
    prepare_folder(folder, resume)
    scratch = folder / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        joins = "starting a Ray cluster here" if address == LOCAL else f"joining the Ray cluster at {address}"
        workers = "a worker" if n_workers == 1 else f"{n_workers} workers"
        watcher.on_notice(f"{joins}, and {workers} on it, which takes half a minute or so")
        with _connected(address, n_workers) as has_gpus:
            given = _given(config, folder, scratch)
            trainer = _trainer(given, n_workers, has_gpus and config.train.device != "cpu")
            follower = EventReader(config, folder, scratch / TOLD, watcher)
            failure = _fit(trainer, follower, scratch)
        result = _outcome(folder, scratch, failure)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    watcher.on_end(result)
    return result


def _need_ray() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        import ray.train.torch  # noqa: F401
    except ImportError as error:
        raise BadInput(
            f'training on Ray needs {error.name}; install it with: pip install "zeropoint[ray]"'
        ) from None


@contextlib.contextmanager
def _connected(address: str, n_workers: int) -> Iterator[bool]:
    """While inside, this process is a driver of the cluster. Tells whether there is a GPU a worker."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL:
        ray.init(address=LOCAL, num_cpus=n_workers, include_dashboard=False, **quiet)
    else:
        _knock(address)
        _try_to_join(address)
        try:
            ray.init(address=address, **quiet)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
            raise _no_cluster(address, _first_line(error)) from None
    try:
        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        if there.get("CPU", 0) < n_workers:
            raise BadInput(
                f"--workers is {n_workers}, and the cluster at {address} has {there.get('CPU', 0):.0f} "
                "processors for them; give fewer, or start more nodes"
            )
        yield there.get("GPU", 0) >= n_workers
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody answers, which tells most mistakes at once. Raises BadInput."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise BadInput(f"--ray {address}: expected HOST:PORT of a cluster's head, auto, or {LOCAL}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(getattr(error, "strerror", None) or error)) from None


def _try_to_join(address: str) -> None:
    """Join in a process that can be killed: Ray tries for minutes where what answers is no head of its own.

    Raises BadInput.
    """
    command = [sys.executable, "-c", _TRY, address]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_JOIN_S)
    except subprocess.TimeoutExpired:
        raise _no_cluster(address, f"what is there did not take a driver within {_JOIN_S:.0f} s") from None
    if tried.returncode:
        raised = [line for line in tried.stderr.splitlines() if re.match(r"[\w.]+: ", line)]
        kind, _, why = (raised or ["Ray: it failed without a word"])[-1].partition(": ")
        raise _no_cluster(address, _brief(why), needs_token=kind.endswith("AuthenticationError"))


def _no_cluster(address: str, why: str, *, needs_token: bool = False) -> BadInput:
    if needs_token:
        return BadInput(
            f"--ray {address}: the cluster wants its token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH "
            "to a file with the token of the cluster"
        )
    return BadInput(
        f"--ray {address}: there is no Ray cluster ({why}); start one with `ray start --head`, "
        f"or give --ray {LOCAL}"
    )


def _given(config: RunConfig, folder: Path, scratch: Path) -> Given:
    return Given(
        config=config,
        folder=folder,
        scratch=scratch,
        working_folder=Path.cwd(),
        environment={k: v for k, v in os.environ.items() if k.startswith("ZEROPOINT_")},
    )


def _trainer(given: Given, n_workers: int, use_gpu: bool) -> TorchTrainer:
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as RayRunConfig
    from ray.train.torch import TorchTrainer

    return TorchTrainer(
        work,
        train_loop_config={"given": given},
        # The pair is Ray's elastic form, which its annotations do not know yet.
        scaling_config=ScalingConfig(num_workers=(1, n_workers), use_gpu=use_gpu),  # type: ignore[arg-type]
        run_config=RayRunConfig(
            name="run", storage_path=str(given.scratch), failure_config=FailureConfig(max_failures=_STARTS)
        ),
    )


def _fit(trainer: TorchTrainer, follower: EventReader, scratch: Path) -> BaseException | None:
    """Let it train while this thread tells what happens and hears signals. Returns what Ray failed with."""
    failure: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    with graceful_shutdown() as asked:
        thread.start()
        while thread.is_alive():
            thread.join(_POLL_S)
            follower.tell()
            if asked.name and not (scratch / ASKED).exists():
                (scratch / ASKED).write_text(asked.name)
    follower.tell()
    return failure[0] if failure else None


def _outcome(folder: Path, scratch: Path, failure: BaseException | None) -> Result:
    """What the first worker wrote down last, or an error."""
    path = scratch / OUTCOME
    if not path.is_file():
        why = _first_line(failure) if failure is not None else "they ended without a word"
        last = checkpoint.resolve_pointer(folder, "latest")
        left = (
            f"The last good checkpoint is {last}; go on from it with --resume" if last else "None was saved"
        )
        raise MachineError(f"the workers on Ray failed ({why}). {left}")
    told = read_json_object(path, _MOST_JSON_BYTES)
    if "error" in told:
        kind = BadInput if told["exit_code"] == BadInput.exit_code else MachineError
        raise kind(str(told["error"]))
    paths = {name: Path(told["result"][name]) for name in ("folder", "checkpoint")}
    return Result(**{**told["result"], **paths})


def _first_line(error: BaseException) -> str:
    return _brief(str(error).strip() or type(error).__name__)


def _brief(text: str) -> str:
    return text.splitlines()[0][:200]
