"""Tests of the teaching code use one thread: their matrices are too small to split."""

from __future__ import annotations

from tests.support.one_thread import one_thread

__all__ = ["one_thread"]
