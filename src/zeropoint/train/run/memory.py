"""How much memory a run holds, what else would fill it, and whether there is enough."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable, Iterator

import torch

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.cost import count_parameters
from zeropoint.errors import OutOfMemory

__all__ = ["held_bytes", "limit_onednn_cache", "refuse_too_large", "translate_oom"]

_LEAST_BYTES = 12  # of a parameter: itself, its gradient and one number that the optimizer keeps, in float32
# oneDNN keeps a thousand prepared products by their sizes, half a megabyte each, and torch keeps them again;
# they also lie between blocks that are freed. 64 are those of more than one step (docs/translate.md).
_PRODUCTS = "64"
_VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def held_bytes(device: torch.device) -> int:
    """Bytes that are taken now where it is computed: of a GPU by torch, else of memory by this process.

    Where the latter cannot be told, the most there were.
    """
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_onednn_cache() -> None:
    """Let this process keep few prepared products, where batches are of ever new sizes and few come again.

    Both libraries read their variables before their first product, so later this changes nothing. What a
    person has set stays.
    """
    for name in _VARIABLES:
        os.environ.setdefault(name, _PRODUCTS)


def refuse_too_large(blueprint: Blueprint, device: torch.device, most_bytes: int | None = None) -> None:
    """Raise OutOfMemory for a model whose training the device's memory can not hold, whatever is freed.

    Without it the kernel would end the process in mid-allocation, with no word. most_bytes: by default all
    that the device has.
    """
    if most_bytes is None:
        most_bytes = _all_bytes(device)
    n = count_parameters(blueprint)
    if n * _LEAST_BYTES > most_bytes:
        where = "the GPU" if device.type == "cuda" else "this machine"
        raise OutOfMemory(
            f"the model has {n:,} parameters, which take {n * _LEAST_BYTES / 1e9:,.1f} GB or more to train, "
            f"and {where} has {most_bytes / 1e9:,.1f} GB; give smaller sizes in [model]"
        )


@contextlib.contextmanager
def translate_oom(what: Callable[[], str], remedy: str) -> Iterator[None]:
    """Raise OutOfMemory where memory does not suffice inside. what: for what, asked when it happens."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_lack(error):
            raise
        raise OutOfMemory(f"not enough memory for {what()}; {remedy}") from None


def _is_lack(error: Exception) -> bool:
    """Torch has a class for what a GPU lacks, but not where a library of CUDA lacks it; words tell all."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "alloc" in said or "out of memory" in said


def _all_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
