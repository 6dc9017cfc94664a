"""What several mirrors hold something to."""

from __future__ import annotations

import pytest

from tests.support.llama_cpp import interpreter


@pytest.fixture(scope="session")
def llama_cpp() -> str:
    """An interpreter that has llama_cpp, or a skip."""
    return interpreter()
