"""The command line at its end: a closed terminal, SIGTERM, a full disk and a limit of the shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zeropoint.cli import app

pytestmark = pytest.mark.process

# Stops in the middle of a conversion, when the temporary file is complete but not renamed.
_CONVERT = """
import sys
from zeropoint.cli.app import main
from zeropoint.convert import convert

def wait(*arguments):
    print("waiting", flush=True)
    sys.stdin.read()
    return True

convert.smoke_test = wait
main(["convert", sys.argv[1], sys.argv[2]])
"""


def start(source: Path, target: Path, prepare: Callable[[], object] | None = None) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _CONVERT, str(source), str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", ["out.gguf", "out"])
def test_a_signal_leaves_no_temporary_file(
    name: str, number: signal.Signals, tiny_path: Path, tmp_path: Path
):
    folder = tmp_path / "target"
    folder.mkdir()
    with start(tiny_path, folder / name) as child:
        assert any(".tmp." in path.name for path in folder.iterdir())
        child.send_signal(number)
        assert child.communicate(timeout=60) == ("", "")
    assert child.returncode == 128 + number
    assert list(folder.iterdir()) == []


def test_an_ignored_signal_stays_ignored(tiny_path: Path, tmp_path: Path):
    """As under nohup."""
    with start(
        tiny_path, tmp_path / "out.gguf", lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ) as child:
        child.send_signal(signal.SIGHUP)
        child.communicate(timeout=60)
    assert child.returncode == 0
    assert (tmp_path / "out.gguf").exists()


def test_a_second_conversion_to_the_same_target_is_refused(tiny_path: Path, tmp_path: Path):
    target = tmp_path / "out.gguf"
    with start(tiny_path, target) as child:
        command = [sys.executable, "-m", "zeropoint", "convert", str(tiny_path), str(target)]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert second.stderr.startswith(f"error: {target} is being written by process {child.pid} since ")
        assert second.stderr.count("\n") == 1
        child.communicate(timeout=60)
    assert child.returncode == 0
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.gguf"]


@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"], ["--help"]])
def test_output_to_a_full_disk(arguments: list[str]):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "zeropoint", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "error: cannot write the output (No space left on device); free some space or write it elsewhere\n"
    )


def test_a_limit_of_the_shell_names_the_target(tiny_path: Path, tmp_path: Path):
    command = f"ulimit -f 20; exec {sys.executable} -m zeropoint convert {tiny_path} {tmp_path / 'out.gguf'}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/out.gguf would have ")
    assert done.stderr.endswith(
        "than this shell's limit of 20,480 bytes; raise it with `ulimit -f unlimited`\n"
    )
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_an_error_of_a_file_names_it_and_the_remedy():
    error = OSError(28, os.strerror(28), "/some/where")
    assert app._os_error_message(error).startswith("not enough space to write /some/where (No space left")
