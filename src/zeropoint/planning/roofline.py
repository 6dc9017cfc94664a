"""What this machine can do at best: memory it has, and the speed at which it reads it.

Decoding one token reads every weight and every cached key and value once, so tokens/s can not exceed
bandwidth / bytes (Williams et al., "Roofline", 2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeropoint import _native
from zeropoint.frozen import frozen

__all__ = ["Rate", "available_memory_bytes", "bandwidth_bytes_s", "ceiling_tok_s", "machine", "weights_rate"]

_MEMBERSHIP, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def available_memory_bytes() -> int | None:
    """Memory to be had without swapping, or what the cgroup still allows; None if unknown."""
    limits = [size for size in (_system_available(), _cgroup_available()) if size is not None]
    return min(limits) if limits else None


def machine() -> dict[str, Any]:
    """cpu (model name), features, isas (those that run here, fastest first), processors (usable)."""
    return _native.machine()


@frozen
class Rate:
    """Bytes a second: the median, and what a quarter of the measurements were not above or below."""

    bytes_s: float
    low: float
    high: float


def bandwidth_bytes_s(n_threads: int) -> float:
    """Bytes a second that so many threads read from memory, measured now, for half a second."""
    return float(_native.measure_bandwidth(n_threads)[0])


def weights_rate(n_bytes: Mapping[str, int], n_threads: int, is_exact: bool) -> Rate:
    """The same where weights of one or more formats are multiplied with one token, so many bytes of each.

    Less than the memory gives where working codes out takes longer than reading them.
    """
    rates = {form: _native.measure_weights(form, n_threads, is_exact) for form in n_bytes}
    total = sum(n_bytes.values())
    return Rate(*(total / sum(n / rates[form][i] for form, n in n_bytes.items()) for i in range(3)))


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
    """What the group of this process and those above it leave, the tightest of them."""
    rooms = [room for folder in _cgroup_folders() if (room := _room_in(folder)) is not None]
    return max(min(rooms), 0) if rooms else None


def _cgroup_folders() -> set[Path]:
    """Folders of cgroup v2, and of v1's memory controller. Lines are "number:controllers:group"."""
    folders = {_CGROUPS, _CGROUPS / "memory"}
    try:
        lines = _MEMBERSHIP.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers in ("", "memory"):
            own = _CGROUPS / controllers / group.lstrip("/")
            folders |= {own, *(parent for parent in own.parents if parent.is_relative_to(_CGROUPS))}
    return folders


def _room_in(folder: Path) -> int | None:
    """Bytes below the limit of one group; its page cache is given back when memory is asked for."""
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            most = (folder / limit).read_text("ascii").strip()
            now = int((folder / used).read_text("ascii"))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
        except (OSError, ValueError):
            continue
        if most != "max":
            return int(most) - now + int(stat.get("active_file", 0)) + int(stat.get("inactive_file", 0))
    return None
