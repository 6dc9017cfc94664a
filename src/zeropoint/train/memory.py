"""How much memory this process holds, what else would fill it, and whether there is enough."""

from __future__ import annotations

import os
import resource

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.cost import count_parameters
from zeropoint.errors import OutOfMemory

__all__ = ["keep_few_products", "refuse_too_large", "resident_bytes"]

_LEAST_BYTES = 12  # of a parameter: itself, its gradient and one number that the optimizer keeps, in float32
# oneDNN keeps a thousand prepared products by their sizes, half a megabyte each, and torch keeps them again;
# they also lie between blocks that are freed. 64 are those of more than one step (docs/translate.md).
_PRODUCTS = "64"
_VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def resident_bytes() -> int:
    """Bytes of this process that lie in memory now; where that cannot be told, the most there were."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def keep_few_products() -> None:
    """Let this process keep few prepared products, where batches are of ever new sizes and few come again.

    Both libraries read their variables before their first product, so later this changes nothing. What a
    person has set stays.
    """
    for name in _VARIABLES:
        os.environ.setdefault(name, _PRODUCTS)


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
