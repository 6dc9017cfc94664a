"""The committed type stub of the extension equals the one that nanobind generates now."""

from __future__ import annotations

from tests.support.tree import NATIVE, load_script


def test_stub_is_fresh() -> None:
    script = load_script(NATIVE / "bind" / "stub.py")
    assert script.STUB.read_text("utf-8") == script.generate(), "run `python native/bind/stub.py`"
