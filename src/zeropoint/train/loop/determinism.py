"""A step that is computed again comes out the same, to the last bit.

Sums whose parts are joined by whichever thread comes first do not: the gradient of an embedding on a GPU, or
compiled for several threads; that of fused attention; a kernel that is chosen by what a clock says. Torch has
a way without for each of these, a little slower.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.utils.deterministic

__all__ = ["repeatable"]


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """Inside, torch computes so that it repeats; what it cannot compute so is a RuntimeError of torch's."""
    switches: Any = torch.utils.deterministic
    was = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = switches.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    switches.fill_uninitialized_memory = False  # nothing here is read before it is written
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was, warn_only=only_warned)
        switches.fill_uninitialized_memory = filled
