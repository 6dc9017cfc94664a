"""Fixtures of the tests that read or copy the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tree_copy import copy_tree


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package with its extension, and of the native sources."""
    return copy_tree(tmp_path)
