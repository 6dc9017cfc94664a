"""What this machine can do at best: memory it has, and the speed at which it reads it.

Decoding one token reads every weight and every cached key and value once, so tokens/s can not exceed
bandwidth / bytes (Williams et al., "Roofline", 2009).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zeropoint import _native

__all__ = ["available_memory_bytes", "bandwidth_bytes_s", "ceiling_tok_s", "machine"]

_CGROUP = Path("/sys/fs/cgroup")


def available_memory_bytes() -> int | None:
    """Memory to be had without swapping, or what the cgroup still allows; None if unknown."""
    limits = [size for size in (_system_available(), _cgroup_available()) if size is not None]
    return min(limits) if limits else None


def machine() -> dict[str, Any]:
    """cpu (model name), features, isas (those that run here, fastest first), processors (usable)."""
    return _native.machine()


def bandwidth_bytes_s(n_threads: int) -> float:
    """Bytes a second that so many threads read from memory, measured now (about a tenth of a second)."""
    return float(_native.measure_bandwidth(n_threads))


def ceiling_tok_s(bandwidth: float, bytes_a_token: int) -> float:
    """Most tokens a second at this bandwidth (bytes/s)."""
    return bandwidth / bytes_a_token


def _system_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def _cgroup_available() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text("ascii").strip()
        used = int((_CGROUP / "memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(int(limit) - used, 0)
