"""How much memory this process holds."""

from __future__ import annotations

import os
import resource

__all__ = ["resident_bytes"]


def resident_bytes() -> int:
    """Bytes of this process that lie in memory now; where that cannot be told, the most there were."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
