"""Free space, disk errors and hashes: messages give path, cause, numbers and remedy."""

from __future__ import annotations

import errno
import os
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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_gives_needed_and_free_bytes(code: int, tmp_path: Path):
    error = disk_error(OSError(code, os.strerror(code)), tmp_path / "x", 5_000_000, "set X")
    assert str(error).startswith(
        f"not enough space to write {tmp_path}/x ({os.strerror(code)}): 5.0 MB needed,"
    )
    assert str(error).endswith("free; free some space or set X")


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
