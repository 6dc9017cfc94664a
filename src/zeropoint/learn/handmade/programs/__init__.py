"""Handmade programs: one per file, as `PROGRAM`, named after the file."""

from __future__ import annotations

from zeropoint import registry
from zeropoint.learn.handmade.dsl import Program

__all__ = ["names", "program"]


def names() -> list[str]:
    """The names of all programs."""
    return registry.names(__name__)


def program(name: str) -> Program:
    """Load a program by name. Raises BadInput naming the closest for an unknown name."""
    loaded: Program = registry.load(__name__, name, "handmade program").PROGRAM
    return loaded
