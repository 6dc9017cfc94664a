"""An exclusive lock: a second process waits or refuses, names the holder, and a killed one releases it."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from zeropoint.errors import BadInput, DiskError, MachineError
from zeropoint.files import locks
from zeropoint.files.locks import exclusive_lock, sole_writer

_HOLD = """
import sys
from pathlib import Path
from zeropoint.files.locks import exclusive_lock

with exclusive_lock(Path(sys.argv[1]), print):
    print("locked", flush=True)
    sys.stdin.read()
"""


def refuse(holder: str) -> None:
    raise MachineError(f"busy: {holder}")


def start_holder(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _HOLD, str(path)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "locked\n"
    return child


def test_on_busy_can_refuse_and_names_the_holder(tmp_path: Path):
    path = tmp_path / "lock"
    with start_holder(path) as child:
        refused = pytest.raises(MachineError, match=rf"busy: process {child.pid} since 20..-..-.. ..:..:")
        with refused, exclusive_lock(path, refuse):
            pass
        child.communicate()
    with exclusive_lock(path, refuse):
        pass


def test_a_second_process_waits_until_the_first_releases(tmp_path: Path):
    path, notices = tmp_path / "lock", []
    with start_holder(path) as child:

        def on_busy(holder: str) -> None:
            notices.append(holder)
            threading.Timer(0.2, child.communicate).start()

        with exclusive_lock(path, on_busy):
            child.wait(10)
    assert len(notices) == 1
    assert notices[0].startswith(f"process {child.pid} since")


def test_a_killed_process_releases_its_lock(tmp_path: Path):
    path = tmp_path / "lock"
    with start_holder(path) as child:
        child.kill()
        child.wait()
    with exclusive_lock(path, refuse):
        pass


def test_the_lock_is_released_after_an_error(tmp_path: Path):
    path = tmp_path / "lock"
    with pytest.raises(RuntimeError), exclusive_lock(path, refuse):
        raise RuntimeError
    assert path.read_text() == ""  # no holder
    with exclusive_lock(path, refuse):
        assert path.read_text().startswith("process ")


def test_a_lock_that_cannot_be_opened_gives_the_remedy(tmp_path: Path):
    (tmp_path / "link").symlink_to("elsewhere")
    for path in (tmp_path / "missing" / "lock", tmp_path / "link"):
        failed = pytest.raises(DiskError, match=r"cannot use .*; check its permissions or set X")
        with failed, exclusive_lock(path, refuse, "set X"):
            pass
    assert not (tmp_path / "elsewhere").exists()


_WRITE = _HOLD.replace("exclusive_lock(Path(sys.argv[1]), print)", "sole_writer(Path(sys.argv[1]))").replace(
    "import exclusive_lock", "import sole_writer"
)


def test_a_second_writer_of_the_same_target_is_refused(tmp_path: Path):
    target = tmp_path / "out.gguf"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITE, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        words = rf"out.gguf is being written by process {child.pid} since .*; wait until it is complete, or"
        with pytest.raises(BadInput, match=words), sole_writer(target):
            pass
        with sole_writer(tmp_path / "other.gguf"):
            pass
        child.communicate()
    with sole_writer(target):
        assert [path.name for path in tmp_path.iterdir()] == [".out.gguf.lock"]
    assert list(tmp_path.iterdir()) == []


def test_two_threads_are_two_writers(tmp_path: Path):
    with sole_writer(tmp_path / "x"), pytest.raises(BadInput), sole_writer(tmp_path / "x"):
        pass


def test_a_lock_file_that_was_removed_meanwhile_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Another writer ends, and removes the lock file, between our opening and locking it."""
    original, removed = locks._try_lock, []

    def remove_first(fd: int) -> bool:
        if not removed:
            removed.append((tmp_path / ".x.lock").unlink())
        return original(fd)

    monkeypatch.setattr(locks, "_try_lock", remove_first)
    with sole_writer(tmp_path / "x"):
        assert (tmp_path / ".x.lock").exists()
    assert removed == [None]


def test_the_folder_of_a_target_must_exist(tmp_path: Path):
    with (
        pytest.raises(BadInput, match=r"there is no folder .*none; create it"),
        sole_writer(tmp_path / "none/x"),
    ):
        pass


def test_a_file_system_without_locks_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*arguments: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with sole_writer(tmp_path / "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_names_the_target():
    with pytest.raises(DiskError, match=r"cannot use /proc/x\.gguf \("), sole_writer(Path("/proc/x.gguf")):
        pass
