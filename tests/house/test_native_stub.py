"""The types of the extension are those of its binding: the committed stub is what nanobind writes today."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from tests.support.tree import NATIVE


def stub_script() -> ModuleType:
    """native/bind/stub.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("zeropoint_stub", NATIVE / "bind" / "stub.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("native/bind/stub.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_stub_is_fresh() -> None:
    script = stub_script()
    assert script.STUB.read_text("utf-8") == script.generate(), "run `python native/bind/stub.py`"
