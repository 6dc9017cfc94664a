"""Figures of matplotlib: silent, and refused with one sentence where the package is missing."""

from __future__ import annotations

import logging
import sys

import pytest

from zeropoint.errors import BadInput
from zeropoint.plotting import new_figure

pytest.importorskip("matplotlib")


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """The logger of matplotlib, as nobody has configured it."""
    logger = logging.getLogger("matplotlib")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    return logger


def test_remarks_about_caches_are_not_shown(logger: logging.Logger) -> None:
    new_figure(2, 1)
    logger.manager._clear_cache()  # type: ignore[attr-defined]
    assert not logging.getLogger("matplotlib.font_manager").isEnabledFor(logging.WARNING)
    assert logger.isEnabledFor(logging.ERROR)


def test_a_level_that_the_program_has_set_stays(logger: logging.Logger) -> None:
    logger.setLevel(logging.DEBUG)
    new_figure(2, 1)
    assert logger.level == logging.DEBUG


def test_a_missing_package_is_named_with_its_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BadInput, match="plotting needs matplotlib, which is not installed"):
        new_figure(2, 1, "plotting")
