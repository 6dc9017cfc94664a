"""Free space, disk errors and hashes: messages give path, cause, numbers and remedy."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zeropoint.errors import DiskError
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.disk_errors import as_disk_error, disk_error
from zeropoint.files.disk_space import format_bytes, free_bytes, require_space
from zeropoint.files.hashing import combined_sha256, sha256_of


def test_require_space_gives_both_numbers_and_the_remedy(tmp_path: Path):
    require_space(tmp_path, 0)
    with pytest.raises(DiskError, match=r"not enough space in .*: 1,1.* GB needed, .* free; .* or set X"):
        require_space(tmp_path / "missing", 1 << 60, "set X")


def test_free_bytes_of_a_path_that_does_not_exist_yet(tmp_path: Path):
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.1)


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(None, "an unknown amount"), (98_362_432, "98.4 MB"), (2_227_753_162, "2.23 GB"), (0, "0.0 MB")],
)
def test_format_bytes(n_bytes: int | None, text: str):
    assert format_bytes(n_bytes) == text


@pytest.mark.parametrize(("code", "cause"), [(errno.ENOSPC, ""), (errno.EDQUOT, "your quota is used up: ")])
def test_a_full_disk_gives_needed_and_free_bytes(code: int, cause: str, tmp_path: Path):
    error = disk_error(OSError(code, os.strerror(code)), tmp_path / "x", 5_000_000, "set X")
    assert str(error).startswith(
        f"not enough space to write {tmp_path}/x ({os.strerror(code)}): 5.0 MB needed,"
    )
    assert str(error).endswith(f"free; {cause}free some space or set X")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "check its permissions or set X"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
        (errno.EROFS, "the disk is read-only, so set X"),
        (errno.EMFILE, "raise the limit of open files (`ulimit -n`)"),
    ],
)
def test_the_remedy_fits_the_cause(code: int, remedy: str, tmp_path: Path):
    error = disk_error(OSError(code, os.strerror(code)), tmp_path / "x", None, "set X")
    assert str(error) == f"cannot use {tmp_path}/x ({os.strerror(code)}); {remedy}"


def test_a_temporary_name_is_shown_as_the_final_one(tmp_path: Path):
    error = OSError(errno.EACCES, "x")
    assert str(disk_error(error, tmp_path / "m.gguf.tmp.4711")).startswith(
        f"cannot use {tmp_path}/m.gguf (x)"
    )
    assert f"cannot use {tmp_path}/out/w (x)" in str(disk_error(error, tmp_path / "out.tmp.1" / "w"))


def test_a_file_system_with_small_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zeropoint.files.disk_errors.file_size_limit", lambda: None)
    error = disk_error(OSError(errno.EFBIG, "File too large"), tmp_path / "x", 5_000_000_000)
    assert str(error) == (
        f"{tmp_path}/x would have 5.00 GB, more than its file system allows; use another disk, or choose "
        "another folder"
    )


_LIMITED = """
import resource, sys
from pathlib import Path
from zeropoint.errors import DiskError
from zeropoint.files.atomic_write import append_lines, atomic_file, replace_file, write_file

resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
folder = Path(sys.argv[1])

def whole():
    replace_file(folder / "whole", bytes(3_000_000))

def in_parts():
    with atomic_file(folder / "parts") as temporary, write_file(temporary) as file:
        for _ in range(3):
            file.write(bytes(1_000_000))

def announced():
    with atomic_file(folder / "announced", need_bytes=3_000_000):
        print("began")

for write in (whole, in_parts, announced, lambda: append_lines(folder / "lines", "x" * 3_000_000)):
    try:
        write()
    except DiskError as error:
        print(error)
"""


@pytest.mark.process
def test_a_limit_of_the_shell_is_named(tmp_path: Path):
    """Python ignores SIGXFSZ, so a write beyond the limit fails with EFBIG."""
    command = [sys.executable, "-c", _LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    limit = "than this shell's limit of 2.0 MB; raise it with `ulimit -f unlimited`"
    sizes = {"whole": "have 3.0 MB, more", "parts": "be larger"}
    sizes |= {"announced": "have 3.0 MB, more", "lines": "have 3.0 MB, more"}
    expected = [f"{tmp_path}/{name} would {size} {limit}" for name, size in sizes.items()]
    assert done.stdout.splitlines() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lines"]


def test_other_errors_give_their_cause_and_paths_are_escaped(tmp_path: Path):
    path = tmp_path / "a\nb"
    expected = pytest.raises(DiskError, match=r"cannot use .*a\\nb \(No such file or directory\); check")
    with expected, as_disk_error(path):
        path.read_bytes()


def test_replace_file_passes_the_remedy_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "x").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskError, match=r"Input/output error.*or set X"):
        replace_file(tmp_path / "x", b"new", "set X")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_hashes(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "x") == combined_sha256("abc") == expected
    assert combined_sha256("a", "b") != combined_sha256("b", "a")
