"""How much memory this process holds, and what else would fill it."""

from __future__ import annotations

import os
import resource

__all__ = ["keep_few_products", "resident_bytes"]

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
