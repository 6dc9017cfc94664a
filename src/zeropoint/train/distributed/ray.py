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
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint import ray_cluster
from zeropoint.errors import BadInput, MachineError, not_installed
from zeropoint.ray_cluster import LOCAL, first_line
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

_SCRATCH = "ray"
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
    with ray_cluster.connected(address, n_workers, "training on Ray"):
        import ray

        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield has_gpus(resources, n_workers, address)


def has_gpus(resources: Mapping[str, float], n_workers: int, address: str) -> bool:
    """Whether the cluster has a GPU for each worker. Raises BadInput if it has fewer CPUs than workers."""
    n_cpus = resources.get("CPU", 0)
    if n_cpus < n_workers:
        raise BadInput(
            f"--workers is {n_workers}, but the cluster at {address} has {n_cpus:.0f} CPUs; use fewer "
            "workers, or start more nodes"
        )
    return resources.get("GPU", 0) >= n_workers


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
        why = first_line(failure) if failure is not None else "they ended without a message"
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
