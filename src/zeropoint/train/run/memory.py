"""Memory of a training run: how much is used, whether a model can fit, and clear out-of-memory errors."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable, Iterator

import torch

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.cost import count_parameters
from zeropoint.errors import OutOfMemory

__all__ = ["check_fits_memory", "limit_onednn_cache", "translate_oom", "used_bytes"]

_MIN_BYTES_PER_PARAMETER = 12  # the weight, its gradient and one number of optimizer state, in float32
# oneDNN caches 1024 primitives by shape, half a megabyte each, and torch caches them again; they also
# fragment the heap. 64 is more than one training step uses (docs/translate.md).
_N_PRIMITIVES = "64"
_VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def used_bytes(device: torch.device) -> int:
    """Memory in use: that torch has reserved on a GPU, or the resident set size of this process.

    Falls back to the peak resident set size where /proc is missing.
    """
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_onednn_cache() -> None:
    """Shrink oneDNN's primitive cache, for runs whose batches rarely repeat a shape.

    The libraries read these variables before their first matrix product, so call this before it. Variables
    that are already set stay unchanged.
    """
    for name in _VARIABLES:
        os.environ.setdefault(name, _N_PRIMITIVES)


def check_fits_memory(blueprint: Blueprint, device: torch.device, available_bytes: int | None = None) -> None:
    """Raise OutOfMemory for a model that cannot be trained in the device's memory under any settings.

    Otherwise the kernel would kill the process during allocation, without a message. available_bytes: by
    default the total memory of the device.
    """
    if available_bytes is None:
        available_bytes = _total_bytes(device)
    n = count_parameters(blueprint)
    need_bytes = n * _MIN_BYTES_PER_PARAMETER
    if need_bytes > available_bytes:
        where = "the GPU" if device.type == "cuda" else "this machine"
        raise OutOfMemory(
            f"the model has {n:,} parameters, which take {need_bytes / 1e9:,.1f} GB or more to train, and "
            f"{where} has {available_bytes / 1e9:,.1f} GB; choose smaller sizes in [model]"
        )


@contextlib.contextmanager
def translate_oom(what: Callable[[], str], remedy: str) -> Iterator[None]:
    """Turn an out-of-memory error inside into OutOfMemory. what(): the operation, for the message."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_oom(error):
            raise
        raise OutOfMemory(f"not enough memory for {what()}; {remedy}") from None


def _is_oom(error: Exception) -> bool:
    """torch has an exception class for its GPU allocator only; elsewhere, the message must tell."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or "alloc" in message or "out of memory" in message


def _total_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
