"""Check for optional packages, which some commands need and a base install does not include."""

from __future__ import annotations

import importlib.util

from zeropoint.errors import BadInput

__all__ = ["require", "require_torch"]


def require(command: str, *packages: str) -> None:
    """Raise BadInput with the pip command to run if a package is missing."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise BadInput(
                f"{command} needs {package}, which is not installed; run `pip install 'zeropoint[train]'`"
            )


def require_torch(command: str) -> None:
    """Raise BadInput with the pip command to run if torch is missing."""
    require(command, "torch")
