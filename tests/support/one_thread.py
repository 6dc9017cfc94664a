"""Torch on one seeded thread, for tests that import this fixture.

The tensors are tiny and the machine is shared; torch waits for its threads by spinning, which costs more than
they give where others work as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

__all__ = ["one_thread"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Around every test of the file or folder that imports it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)
