"""Fixtures of the hostile-input tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SEEDS = Path(__file__).parents[2] / "native" / "fuzz" / "seeds.py"


@pytest.fixture(scope="session")
def seeds() -> ModuleType:
    """The generator of the fuzz corpus as a module; it is outside every package."""
    spec = importlib.util.spec_from_file_location("zeropoint_fuzz_seeds", SEEDS)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(SEEDS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module here
    spec.loader.exec_module(module)
    return module
