"""Ctrl-C at any moment, also while the program is being imported: no traceback, an exit code of a signal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.interrupt import restore_sigint
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_model import FakeModel

ROOT = Path(__file__).parents[3]

# Sends itself SIGINT when a module is about to be imported, or at exit.
_PROGRAM = """
import atexit, os, signal, sys

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            interrupt()

sys.meta_path.insert(0, Finder())
if {module!r} == "exit":
    atexit.register(interrupt)
from zeropoint.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "module", ["zeropoint.cli.app", "click", "zeropoint.cli.commands.config", "platformdirs.unix", "exit"]
)
def test_ctrl_c_prints_no_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(module=module), "config"],
        cwd=ROOT,
        preexec_fn=restore_sigint,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.returncode in (-2, 130)


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    program = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + _PROGRAM
    done = subprocess.run(
        [sys.executable, "-c", program.format(module="zeropoint.cli.app"), "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_import_that_ctrl_c_broke_is_no_bug(run: Run, model: FakeModel) -> None:
    error = RuntimeError("Error calling __set_name__")
    error.__cause__ = KeyboardInterrupt()
    model.pieces = ["half", error]
    result = run("chat", "hi")
    assert (result.code, result.out, result.err) == (130, "half", "")
