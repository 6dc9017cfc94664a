"""Atomic files and folders: complete or absent; leftovers of dead writers are removed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import append_lines, atomic_file, atomic_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_succeeds(tmp_path: Path):
    target = tmp_path / "x"
    with atomic_file(target) as temporary:
        temporary.write_bytes(b"new")
        assert names(tmp_path) == [f"x.tmp.{os.getpid()}"]
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["x"]


def test_an_open_old_file_keeps_its_content(tmp_path: Path):
    target = tmp_path / "x"
    target.write_bytes(b"old")
    target.chmod(0o640)
    with target.open("rb") as old:
        with atomic_file(target) as temporary:
            temporary.write_bytes(b"new")
        assert old.read() == b"old"
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("make", [atomic_file, atomic_folder])
def test_an_error_leaves_no_file(make, tmp_path: Path):
    with pytest.raises(RuntimeError), make(tmp_path / "x"):
        raise RuntimeError
    assert names(tmp_path) == []


def test_an_existing_folder_is_replaced(tmp_path: Path):
    target = tmp_path / "x"
    target.mkdir()
    (target / "old").touch()
    with atomic_folder(target) as temporary:
        (temporary / "new").touch()
    assert names(target) == ["new"]
    assert names(tmp_path) == ["x"]


def test_leftovers_of_dead_writers_are_removed_but_not_files_of_living_ones(tmp_path: Path):
    (tmp_path / "x.tmp.1").write_bytes(b"dead")
    (tmp_path / "x.tmp.2").mkdir()
    (tmp_path / "x.tmp.2" / "part").touch()
    for other in ("x.tmp.mine", "y.tmp.1", "x"):
        (tmp_path / other).write_bytes(b"mine")
    (tmp_path / "x.tmp.3").symlink_to("x")
    with atomic_file(tmp_path / "x") as first:
        first.write_bytes(b"first")
        os.rename(first, living := tmp_path / "x.tmp.99")  # as if another process wrote it
        with atomic_file(tmp_path / "x") as second:
            second.write_bytes(b"second")
        assert living.read_bytes() == b"first"
        os.rename(living, first)
    assert names(tmp_path) == ["x", "x.tmp.3", "x.tmp.mine", "y.tmp.1"]


def test_a_missing_folder_is_rejected(tmp_path: Path):
    with pytest.raises(BadInput, match="there is no folder"), atomic_file(tmp_path / "none" / "x"):
        pass


def test_append_lines_creates_the_file_and_isolates_a_cut_line(tmp_path: Path):
    path = tmp_path / "folder" / "log"
    append_lines(path, "one", "two")
    append_lines(path)
    assert path.read_text() == "one\ntwo\n"
    path.write_text("one\ncut")
    append_lines(path, "three")
    assert path.read_text() == "one\ncut\nthree\n"
