"""What this machine offers the engine: processors, instruction sets and free memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zeropoint import _native

__all__ = ["available_memory_bytes", "default_threads", "machine"]

_MEMBERSHIP, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def machine() -> dict[str, Any]:
    """cpu (model name), features, isas (that run here, fastest first) and processors (usable)."""
    return _native.machine()


def default_threads() -> int:
    """The default number of threads: the processors this process may use (affinity and cgroup)."""
    return int(machine()["processors"])


def available_memory_bytes() -> int | None:
    """Memory available without swapping, within the limit of the cgroup; None if unknown."""
    limits = [size for size in (_system_available(), _cgroup_available()) if size is not None]
    return min(limits) if limits else None


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
    """The smallest remainder among the cgroup of this process and its parents."""
    remainders = [n for folder in _cgroup_folders() if (n := _remaining_bytes(folder)) is not None]
    return max(min(remainders), 0) if remainders else None


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


def _remaining_bytes(folder: Path) -> int | None:
    """Bytes below the limit of one cgroup; its page cache counts as free, as the kernel reclaims it."""
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            max_bytes = (folder / limit).read_text("ascii").strip()
            used_bytes = int((folder / used).read_text("ascii"))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
        except (OSError, ValueError):
            continue
        if max_bytes != "max":
            page_cache = int(stat.get("active_file", 0)) + int(stat.get("inactive_file", 0))
            return int(max_bytes) - used_bytes + page_cache
    return None
