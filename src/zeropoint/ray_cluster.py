"""Join a Ray cluster as a driver, or start one on this machine, with one sentence for whatever is wrong."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from zeropoint.errors import BadInput, not_installed

__all__ = ["LOCAL", "connected", "first_line"]

LOCAL = "local"  # starts a cluster on this machine
_ANSWER_S = 5.0  # timeout for a connection to the head
_JOIN_S = 40.0  # timeout for joining as a driver; most of it is Ray's start-up
_JOIN_PROGRAM = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='error')"


@contextlib.contextmanager
def connected(address: str, n_cpus: int, purpose: str) -> Iterator[None]:
    """Inside, this process is a driver of the cluster at `address` ("host:port", "auto" or "local").

    n_cpus: of a cluster that is started here. Raises BadInput.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics
    try:
        import ray
    except ImportError:
        raise BadInput(not_installed(purpose, "'ray[train]'")) from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL:
        ray.init(address=LOCAL, num_cpus=n_cpus, include_dashboard=False, **quiet)
    else:
        _check_head(address)
        _try_to_join(address)
        try:
            ray.init(address=address, **quiet)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
            raise _no_cluster(address, first_line(error)) from None
    try:
        yield
    finally:
        ray.shutdown()


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters."""
    return _first_200(str(error).strip() or type(error).__name__)


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


def _first_200(text: str) -> str:
    return text.splitlines()[0][:200]
