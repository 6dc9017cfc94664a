"""Records of the model cache with wrong types count as missing; the model is fetched again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from zeropoint.catalogue import cache

FILE = {"path": "m.gguf", "n_bytes": 1, "mtime_ns": 1, "inode": 1, "sha256": "0"}
RECORD = {
    "version": 1,
    "name": "m",
    "source": "s",
    "revision": None,
    "repo": None,
    "licence": None,
    "files": [FILE],
}


def test_a_sound_record_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps(RECORD))
    record = cache.load(tmp_path)
    assert record is not None
    assert record.n_bytes == 1


@pytest.mark.parametrize("value", [None, 1.5, [], {}, True])
@pytest.mark.parametrize("key", ["name", "source", "files", *(f"file.{name}" for name in FILE)])
def test_a_record_with_a_wrong_type_is_ignored(key: str, value: object, tmp_path: Path) -> None:
    file = FILE | ({key.removeprefix("file."): value} if key.startswith("file.") else {})
    record = {**RECORD, "files": [file]} | ({} if key.startswith("file.") else {key: value})
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert cache.load(tmp_path) is None


def test_a_record_that_is_not_a_file_is_ignored(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "record.json")
    assert cache.load(tmp_path) is None
    (tmp_path / "record.json").unlink()
    (tmp_path / "record.json").symlink_to("/dev/zero")
    assert cache.load(tmp_path) is None
