"""Files and folders appear whole: work of living writers is left alone, what dead ones left is removed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import atomic_file, atomic_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_when_the_block_ends_well(tmp_path: Path):
    target = tmp_path / "x"
    with atomic_file(target) as temporary:
        temporary.write_bytes(b"new")
        assert names(tmp_path) == [f"x.tmp.{os.getpid()}"]
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["x"]


def test_whoever_has_the_old_file_open_keeps_it(tmp_path: Path):
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
def test_an_error_leaves_nothing(make, tmp_path: Path):
    with pytest.raises(RuntimeError), make(tmp_path / "x"):
        raise RuntimeError
    assert names(tmp_path) == []


def test_folders_are_exchanged(tmp_path: Path):
    target = tmp_path / "x"
    target.mkdir()
    (target / "old").touch()
    with atomic_folder(target) as temporary:
        (temporary / "new").touch()
    assert names(target) == ["new"]
    assert names(tmp_path) == ["x"]


def test_leftovers_of_the_dead_are_removed_and_work_of_the_living_is_not(tmp_path: Path):
    (tmp_path / "x.tmp.1").write_bytes(b"dead")
    (tmp_path / "x.tmp.2").mkdir()
    (tmp_path / "x.tmp.2" / "part").touch()
    for other in ("x.tmp.mine", "y.tmp.1", "x"):
        (tmp_path / other).write_bytes(b"mine")
    (tmp_path / "x.tmp.3").symlink_to("x")
    with atomic_file(tmp_path / "x") as first:
        first.write_bytes(b"first")
        os.rename(first, living := tmp_path / "x.tmp.99")  # as if of another process
        with atomic_file(tmp_path / "x") as second:
            second.write_bytes(b"second")
        assert living.read_bytes() == b"first"
        os.rename(living, first)
    assert names(tmp_path) == ["x", "x.tmp.3", "x.tmp.mine", "y.tmp.1"]


def test_a_missing_folder_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="there is no folder"), atomic_file(tmp_path / "none" / "x"):
        pass
