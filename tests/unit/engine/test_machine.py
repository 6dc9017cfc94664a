"""Free memory: the smaller of what the system reports and what the cgroups leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zeropoint.engine import machine


def test_free_memory_is_the_smallest_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unlimited = machine.available_memory_bytes()
    assert unlimited is None or unlimited > 0
    membership = tmp_path / "membership"
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_MEMBERSHIP", membership)
    system = machine.available_memory_bytes()

    def limit(group: str, max_: str, used: int, cached: int = 0, names: str = "max current") -> None:
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        files = [tmp_path / group / f"memory.{name}" for name in names.split()]
        files[0].write_text(f"{max_}\n")
        files[1].write_text(f"{used}\n")
        (tmp_path / group / "memory.stat").write_text(
            f"anon 1\nactive_file {cached}\ninactive_file {cached}\n"
        )

    limit("", "5000000", 2_000_000)
    assert machine.available_memory_bytes() == 3_000_000
    limit("", "5000000", 4_000_000, cached=500_000)  # the page cache counts as free
    assert machine.available_memory_bytes() == 2_000_000
    limit("", "5000000", 9_000_000)
    assert machine.available_memory_bytes() == 0
    limit("", "max", 9_000_000)
    assert machine.available_memory_bytes() == pytest.approx(system, rel=0.5)
    # Of nested groups the tightest counts, whichever level it is on; a missing folder limits nothing.
    limit("user/session", "8000000", 1_000_000)
    limit("user", "4000000", 1_000_000)
    membership.write_text("4:memory:/old/group\n0::/user/session\n")
    assert machine.available_memory_bytes() == 3_000_000
    membership.write_text("0::/elsewhere\n")
    assert machine.available_memory_bytes() == pytest.approx(system, rel=0.5)
    limit("memory/old", "700000", 100_000, names="limit_in_bytes usage_in_bytes")
    membership.write_text("4:memory:/old/group\n0::/\n")
    assert machine.available_memory_bytes() == 600_000


def test_the_default_is_a_thread_per_usable_processor() -> None:
    assert 1 <= machine.default_threads() <= len(os.sched_getaffinity(0))
