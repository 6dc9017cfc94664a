"""Check for optional packages, which some commands need and a base install does not include."""

from __future__ import annotations

import importlib.util

from zeropoint.errors import BadInput, not_installed

__all__ = ["require", "require_torch"]


def require(command: str, *packages: str) -> None:
    """Raise BadInput with the pip command to run if a package is missing."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise BadInput(not_installed(command, package))


def require_torch(command: str) -> None:
    """Raise BadInput with the pip command to run if torch is missing."""
    require(command, "torch")
