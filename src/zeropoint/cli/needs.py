"""What some commands need that a base install does not have."""

from __future__ import annotations

import importlib.util

from zeropoint.errors import BadInput

__all__ = ["need_torch"]


def need_torch(command: str) -> None:
    """Raise BadInput with the line that installs torch, where it is not."""
    if importlib.util.find_spec("torch") is None:
        raise BadInput(
            f"{command} computes with torch, which is not installed; run `pip install 'zeropoint[train]'`"
        )
