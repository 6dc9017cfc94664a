"""Preparing shards: one writer at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeropoint.data.prepare import prepare
from zeropoint.errors import BadInput
from zeropoint.files.locks import sole_writer


def test_a_folder_that_another_process_is_writing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some text\n" * 50)
    refused = pytest.raises(BadInput, match="shards is being written by process")
    with sole_writer(tmp_path / "shards"), refused:
        prepare(tmp_path / "a.txt", tmp_path / "shards")
