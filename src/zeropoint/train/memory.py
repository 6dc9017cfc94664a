"""How much memory this process holds, and whether the machine has as much as a run must have."""

from __future__ import annotations

import os
import resource

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.cost import count_parameters
from zeropoint.errors import OutOfMemory

__all__ = ["refuse_too_large", "resident_bytes"]

_LEAST_BYTES = 12  # of a parameter: itself, its gradient and one number that the optimizer keeps, in float32


def resident_bytes() -> int:
    """Bytes of this process that lie in memory now; where that cannot be told, the most there were."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def refuse_too_large(blueprint: Blueprint, machine_bytes: int | None = None) -> None:
    """Raise OutOfMemory for a model whose training this machine's memory can not hold, whatever is freed.

    Without it the kernel would end the process in mid-allocation, with no word. machine_bytes: by default
    what the machine has.
    """
    if machine_bytes is None:
        machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    n = count_parameters(blueprint)
    if n * _LEAST_BYTES > machine_bytes:
        raise OutOfMemory(
            f"the model has {n:,} parameters, which take {n * _LEAST_BYTES / 1e9:,.1f} GB or more to train, "
            f"and this machine has {machine_bytes / 1e9:,.1f} GB; give smaller sizes in [model]"
        )
