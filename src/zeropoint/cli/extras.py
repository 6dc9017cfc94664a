"""What some commands need that a base install does not have."""

from __future__ import annotations

import importlib.util

from zeropoint.errors import BadInput

__all__ = ["need", "need_torch"]


def need(command: str, *packages: str) -> None:
    """Raise BadInput with the line that installs a package which is not there."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise BadInput(
                f"{command} needs {package}, which is not installed; run `pip install 'zeropoint[train]'`"
            )


def need_torch(command: str) -> None:
    """The same for torch alone."""
    need(command, "torch")
