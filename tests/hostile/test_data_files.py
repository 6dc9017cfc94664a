"""Data files that are small on disk and endless in memory, or not files at all."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import pytest

from tests.support.limited import run_limited
from zeropoint.data import documents as reader
from zeropoint.data.documents import DocumentSource, documents
from zeropoint.data.pairs import read_pairs
from zeropoint.data.text_codec import load_codec
from zeropoint.errors import BadInput, BadModelFile


def read(path: Path) -> list[str]:
    return [document.text for document in documents(DocumentSource(path, path.name))]


def gzip_of(deflated: bytes) -> bytes:
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
    return head + deflated + struct.pack("<II", zlib.crc32(b""), 0)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.jsonl.gz", "a.json.gz"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (gzip_of(b"\x07\xff\xff"), "invalid block type"),
        (gzip.compress(b"text " * 1000)[:-20], "ended before the end-of-stream marker"),
        (gzip.compress(b"text")[:-4] + b"\1\0\0\0", "Incorrect length"),
        (b"no gzip", "Not a gzipped file"),
    ],
)
def test_a_damaged_gzip_file_is_named(name: str, content: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=rf"{name} cannot be read \(.*{problem}"):
        read(tmp_path / name)
    with pytest.raises(BadInput, match=rf"{name} cannot be read \(.*{problem}"):
        read_pairs(tmp_path / name, tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt.gz", b"a" * 3000, r"line 1 has more than 0 MiB; break it into several lines"),
        ("a.jsonl.gz", b'{"text": ""}\n{"text": "' + b"a" * 3000, r"line 2 has more than"),
        ("a.txt.gz", b"a\n" * 1500, r"line 1001: a document has more than .* separate documents by"),
        ("a.json.gz", b"[" + b" " * 3000, r"has more than .* of JSON; convert it to \.jsonl"),
    ],
)
def test_parts_of_compressed_files_are_bounded(
    name: str, content: bytes, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_MAX_UNPACKED_BYTES", 2000)
    (tmp_path / name).write_bytes(gzip.compress(content))
    with pytest.raises(BadInput, match=problem):
        read(tmp_path / name)


def test_separated_documents_are_bounded_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_MAX_UNPACKED_BYTES", 2000)
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress((b"a" * 1500 + b"\n<|endoftext|>\n") * 5))
    assert read(path) == ["a" * 1500] * 5


@pytest.mark.heavy
def test_one_stored_value_for_many_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(reader, "_MIN_GROWTH_BYTES", 0)
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"text": ["ab " * 100_000] * 200}), path, compression="zstd")
    assert path.stat().st_size < 10_000
    with pytest.raises(BadInput, match=r"a\.parquet unpacks to more than 2000 times its size"):
        read(path)
    monkeypatch.setattr(reader, "_MAX_COLUMN_BYTES", 1000)
    with pytest.raises(BadInput, match=r"row group 0 has [\d,]+ bytes in `text`; write it with at most"):
        read(path)


BOMB = """
import sys
import pyarrow, pyarrow.parquet
from pathlib import Path
from zeropoint.data.documents import DocumentSource, documents
path = Path(sys.argv[1])
for _ in documents(DocumentSource(path, path.name)):
    pass
"""


@pytest.mark.process
@pytest.mark.heavy
def test_a_dictionary_bomb_stays_within_memory(tmp_path: Path) -> None:
    """Every one of 1,000 rows is the same text of 32 MB, which the file stores once."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "bomb.parquet"
    values = arrow.DictionaryArray.from_arrays(arrow.array([0] * 1000, arrow.int32()), ["a" * (32 << 20)])
    parquet.write_table(arrow.table({"text": values}), path, compression="zstd", use_dictionary=True)
    child = run_limited(["-c", BOMB, str(path)], max_bytes=3 << 30)
    assert "unpacks to more than 2000 times its size" in child.stderr


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl.gz", "a.json", "a.parquet"])
def test_a_fifo_or_device_is_refused_without_waiting(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"is not a regular file"):
            read(path)
        with pytest.raises(BadInput, match=r"is not a regular file"):
            read_pairs(path, path)
        with pytest.raises((BadInput, BadModelFile), match=r"is not a regular file"):
            load_codec(path)
        path.unlink()
        path.symlink_to("/dev/zero")
