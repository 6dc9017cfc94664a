from __future__ import annotations

import os
from pathlib import Path

import pytest

from zeropoint.errors import BadInput
from zeropoint.files.regular_file import open_regular, read_regular


def test_a_fifo_a_device_and_a_folder_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name, problem in [("fifo", "not a regular file"), ("link", "not a regular file"), (".", "a folder")]:
        with pytest.raises(BadInput, match=problem):
            open_regular(tmp_path / name)


def test_a_missing_file_raises_oserror_and_a_loop_of_links_badinput(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "missing")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BadInput, match="loop is a link to itself"):
        open_regular(tmp_path / "loop")


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    os.truncate(path, 1 << 40)  # sparse
    with pytest.raises(BadInput, match="has 1099511627776 bytes; it may have at most 5"):
        read_regular(path, 5)
    with pytest.raises(BadInput, match="at most 1"):
        read_regular(Path("/proc/self/status"), 1)  # its size is 0 until it is read
