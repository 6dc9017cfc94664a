"""Fixtures of the command-line tests: a fake model, a fake terminal, and `run` to run a command line."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.fake_model import FakeModel, module_with
from zeropoint.engine_options import EngineOptions


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def isolated_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove environment variables and settings files of the machine that runs the tests."""
    import os

    for name in list(os.environ):
        if name.startswith("ZEROPOINT_") or name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CI"):
            monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """A fake model that every command opens."""
    fake = FakeModel()

    def load(name: str, options: EngineOptions, **arguments: Any) -> FakeModel:
        fake.loaded_with = {"name": name, **asdict(options), **arguments}
        return fake

    monkeypatch.setitem(sys.modules, "zeropoint.engine.session.load", module_with(load))
    return fake


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process: run("chat", "hi", stdin=b"...") returns code, out and err."""
    from zeropoint.cli.app import main

    def run(*argv: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exit:
            main(argv)
        captured = capsys.readouterr()
        return Result(int(exit.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every stream look like a terminal."""
    monkeypatch.setattr("zeropoint.cli.console._is_tty", lambda stream: True)
    monkeypatch.setenv("TERM", "xterm")
