"""Train on several machines with Ray Train, using torch's DDP or FSDP2 in the workers.

The rows of each batch are split among the workers and gradients are averaged, so the loss curve is that of
one process (`ddp_fsdp.py`). All workers see the run's folder under one path: one machine, or a shared disk.
Ray starts the workers; when one is lost it restarts all from the newest checkpoint, with fewer workers if
fewer are left. Only our own configuration and functions pass between Ray's processes; files are safetensors
and JSON, and no pickle is read.

Driver and workers share a scratch folder in the run's folder: `outcome.json` reports how the run ended, and
`stop` forwards a signal to the workers.
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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.errors import BadInput, MachineError, not_installed
from zeropoint.train.callbacks.callbacks import Callback, Result
from zeropoint.train.callbacks.event_log import EventReader
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.validate import check
from zeropoint.train.distributed.ray_worker import EVENTS, OUTCOME, STOP, WorkerArgs, work
from zeropoint.train.run.run import prepare_folder
from zeropoint.train.run.signals import graceful_shutdown
from zeropoint.weights.json_file import read_json_object

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

__all__ = ["LOCAL", "has_gpus", "run_on_ray"]

LOCAL = "local"  # starts a cluster on this machine, for this run
_SCRATCH = "ray"
_ANSWER_S = 5.0  # timeout for a connection to the head
_JOIN_S = 40.0  # timeout for joining as a driver; most of it is Ray's start-up
_JOIN_PROGRAM = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='error')"
_POLL_S = 0.3
_MAX_RESTARTS = 32  # per run; `ray_worker.py` ends runs without progress earlier
_MAX_JSON_BYTES = 1 << 20


def run_on_ray(
    config: RunConfig,
    folder: Path,
    callback: Callback,
    *,
    address: str,
    n_workers: int,
    resume: bool = False,
) -> Result:
    """Train on the Ray cluster at `address` ("host:port", "auto" or "local") and report to the callback.

    Rank 0 writes the run's files (metrics, samples, report). Raises BadInput, also if Ray is not installed,
    no head answers or the cluster is too small; MachineError if the workers fail; and the error that ended
    the run on a worker.
    """
    _require_ray()
    if n_workers < 1:
        raise BadInput(f"--workers is {n_workers}; give 1 or more")
    check(config, n_workers)
    folder = folder.absolute()
    prepare_folder(folder, resume)
    scratch = folder / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        joining = "starting a Ray cluster" if address == LOCAL else f"joining the Ray cluster at {address}"
        workers = "1 worker" if n_workers == 1 else f"{n_workers} workers"
        callback.on_notice(f"{joining} with {workers}; this takes about half a minute")
        with _connected(address, n_workers) as has_gpus:
            args = _worker_args(config, folder, scratch)
            trainer = _trainer(args, n_workers, has_gpus and config.train.device != "cpu")
            events = EventReader(config, folder, scratch / EVENTS, callback)
            failure = _fit(trainer, events, scratch)
        result = _outcome(folder, scratch, failure)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    callback.on_end(result)
    return result


def _require_ray() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics
    try:
        import ray.train.torch  # noqa: F401
    except ImportError as error:
        package = (error.name or "ray").partition(".")[0].replace("ray", "'ray[train]'")
        raise BadInput(not_installed("training on Ray", package)) from None


@contextlib.contextmanager
def _connected(address: str, n_workers: int) -> Iterator[bool]:
    """Inside, this process is a driver of the cluster. Yields whether there is a GPU for each worker."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL:
        ray.init(address=LOCAL, num_cpus=n_workers, include_dashboard=False, **quiet)
    else:
        _check_head(address)
        _try_to_join(address)
        try:
            ray.init(address=address, **quiet)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
            raise _no_cluster(address, _first_line(error)) from None
    try:
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield has_gpus(resources, n_workers, address)
    finally:
        ray.shutdown()


def has_gpus(resources: Mapping[str, float], n_workers: int, address: str) -> bool:
    """Whether the cluster has a GPU for each worker. Raises BadInput if it has fewer CPUs than workers."""
    n_cpus = resources.get("CPU", 0)
    if n_cpus < n_workers:
        raise BadInput(
            f"--workers is {n_workers}, but the cluster at {address} has {n_cpus:.0f} CPUs; use fewer "
            "workers, or start more nodes"
        )
    return resources.get("GPU", 0) >= n_workers


def _check_head(address: str) -> None:
    """Check that something answers at the address, which finds most mistakes at once. Raises BadInput."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise BadInput(f"--ray {address}: expected HOST:PORT of a cluster head, auto, or {LOCAL}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(getattr(error, "strerror", None) or error)) from None


def _try_to_join(address: str) -> None:
    """Join from a process that can be killed: Ray retries for minutes if the address is not a Ray head.

    Raises BadInput.
    """
    command = [sys.executable, "-c", _JOIN_PROGRAM, address]
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_JOIN_S)
    except subprocess.TimeoutExpired:
        raise _no_cluster(address, f"the head did not accept a driver within {_JOIN_S:.0f} s") from None
    if result.returncode:
        raised = [line for line in result.stderr.splitlines() if re.match(r"[\w.]+: ", line)]
        kind, _, why = (raised or ["Ray: it failed without a message"])[-1].partition(": ")
        raise _no_cluster(address, _first_200(why), needs_token=kind.endswith("AuthenticationError"))


def _no_cluster(address: str, why: str, *, needs_token: bool = False) -> BadInput:
    if needs_token:
        return BadInput(
            f"--ray {address}: the cluster requires a token; set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN_PATH to a file with it"
        )
    return BadInput(
        f"--ray {address}: no Ray cluster there ({why}); start one with `ray start --head`, "
        f"or give --ray {LOCAL}"
    )


def _worker_args(config: RunConfig, folder: Path, scratch: Path) -> WorkerArgs:
    return WorkerArgs(
        config=config,
        folder=folder,
        scratch=scratch,
        working_folder=Path.cwd(),
        environment={k: v for k, v in os.environ.items() if k.startswith("ZEROPOINT_")},
    )


def _trainer(args: WorkerArgs, n_workers: int, use_gpu: bool) -> TorchTrainer:
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as RayRunConfig
    from ray.train.torch import TorchTrainer

    return TorchTrainer(
        work,
        train_loop_config={"args": args},
        # A (min, max) pair makes Ray elastic; its annotations lack it.
        scaling_config=ScalingConfig(num_workers=(1, n_workers), use_gpu=use_gpu),  # type: ignore[arg-type]
        run_config=RayRunConfig(
            name="run",
            storage_path=str(args.scratch),
            failure_config=FailureConfig(max_failures=_MAX_RESTARTS),
        ),
    )


def _fit(trainer: TorchTrainer, events: EventReader, scratch: Path) -> BaseException | None:
    """Train on another thread; forward events and signals on this one. Returns Ray's exception, if any."""
    failure: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    with graceful_shutdown() as stop_request:
        thread.start()
        while thread.is_alive():
            thread.join(_POLL_S)
            events.forward()
            if stop_request.name and not (scratch / STOP).exists():
                (scratch / STOP).write_text(stop_request.name)
    events.forward()
    return failure[0] if failure else None


def _outcome(folder: Path, scratch: Path, failure: BaseException | None) -> Result:
    """The result that rank 0 wrote, or the error that ended the run."""
    path = scratch / OUTCOME
    if not path.is_file():
        why = _first_line(failure) if failure is not None else "they ended without a message"
        last = checkpoint.resolve_pointer(folder, "latest")
        left = (
            f"The last good checkpoint is {last}; resume from it with --resume"
            if last
            else "No checkpoint was written"
        )
        raise MachineError(f"the Ray workers failed ({why}). {left}")
    outcome = read_json_object(path, _MAX_JSON_BYTES)
    if "error" in outcome:
        kind = BadInput if outcome["exit_code"] == BadInput.exit_code else MachineError
        raise kind(str(outcome["error"]))
    paths = {name: Path(outcome["result"][name]) for name in ("folder", "checkpoint")}
    return Result(**{**outcome["result"], **paths})


def _first_line(error: BaseException) -> str:
    return _first_200(str(error).strip() or type(error).__name__)


def _first_200(text: str) -> str:
    return text.splitlines()[0][:200]
