"""Handmade programs, one a file, each with its `PROGRAM`; the file's name is the program's."""

from __future__ import annotations

from zeropoint import registry
from zeropoint.learn.handmade.dsl import Program

__all__ = ["names", "program"]


def names() -> list[str]:
    """The programs there are."""
    return registry.names(__name__)


def program(name: str) -> Program:
    """The program of that name. Raises BadInput naming the closest where there is none."""
    found: Program = registry.load(__name__, name, "handmade program").PROGRAM
    return found
