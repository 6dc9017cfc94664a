"""Cost markers: a test outside the fast tier says why, and `--cost-limit` finds one that should.

The fast tier is every test without a cost marker; `./check` runs it. A test is charged the processor time of
its own call, children included, so that waiting for a busy machine costs nothing. Fixtures are not charged,
because others share them, and neither is a test that happens to import a large library first.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["COST_MARKERS", "FAST_TIER"]

COST_MARKERS = ("model", "process", "train", "heavy", "slow")
FAST_TIER = " and ".join(f"not {name}" for name in COST_MARKERS)

_REFERENCE_S = 0.03  # `_calibrate` on a 3 GHz core; on a slower one the limit is higher
_IMPORTED_MODULES = 20  # a test that imports more than this is charged nothing
_COST = pytest.StashKey[float]()
_LIMIT = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cost-limit",
        type=float,
        metavar="SECONDS",
        help="fail an unmarked test that needs more processor time than this on a 3 GHz core",
    )


def pytest_configure(config: pytest.Config) -> None:
    if (limit := config.getoption("--cost-limit")) is not None:
        config.stash[_LIMIT] = limit


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that reads the real model, so that nobody has to."""
    for item in items:
        if "smollm2_path" in getattr(item, "fixturenames", ()):
            item.add_marker("model")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    n_modules, start = len(sys.modules), _processor_s()
    try:
        return (yield)
    finally:
        is_importing = len(sys.modules) - n_modules > _IMPORTED_MODULES
        item.stash[_COST] = 0.0 if is_importing else _processor_s() - start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    report = yield
    limit = item.config.stash.get(_LIMIT, None)
    if limit is None or call.when != "call" or not report.passed:
        return report
    cost = item.stash[_COST]
    if cost > limit:  # allow for a core that is slow now, because others use it
        limit *= max(1.0, _calibrate() / _REFERENCE_S)
    if cost > limit and not any(item.get_closest_marker(name) for name in COST_MARKERS):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} used {cost:.2f} s of processor time; an unmarked test may use {limit:.2f} s. "
            f"Make it cheaper, or mark it with one of {', '.join(COST_MARKERS)}"
        )
    return report


def _processor_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _calibrate() -> float:
    """Processor time of a fixed amount of work, the best of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        sum(range(2_000_000))
        times.append(time.process_time() - start)
    return min(times)
