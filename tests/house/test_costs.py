"""Cost markers: `./check` runs what is cheap, and an expensive test that is not marked fails."""

from __future__ import annotations

import pytest

from tests.support.costs import COST_MARKERS, FAST_TIER
from tests.support.tree import ROOT

_TESTS = """
import time
import pytest

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def test_cheap(): pass
def test_expensive(): burn(0.3)
def test_that_waits(): time.sleep(0.3)
@pytest.mark.train
def test_marked(): burn(0.3)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with four tests, of which one is expensive and unmarked."""
    markers = "\n".join(f"    {name}: costly" for name in COST_MARKERS)
    pytester.makeini(f"[pytest]\nmarkers =\n{markers}\n")
    pytester.makeconftest(
        f'import sys\nsys.path.insert(0, {str(ROOT)!r})\npytest_plugins = ["tests.support.costs"]'
    )
    pytester.makepyfile(_TESTS)
    return pytester


@pytest.mark.process
def test_an_expensive_test_needs_a_marker(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--cost-limit=0.1", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["*test_expensive used 0.3? s of processor time*mark it with one of model, *"]
    )


@pytest.mark.process
def test_without_a_limit_nothing_is_measured(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=4)


@pytest.mark.process
def test_the_fast_tier_leaves_out_what_is_marked(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("-m", FAST_TIER, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, deselected=1)
