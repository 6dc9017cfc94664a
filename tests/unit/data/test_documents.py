"""Text of one's own: what is read of it, and that what cannot be is named by file and line."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from zeropoint.data.documents import documents, find_sources
from zeropoint.data.instructions import prompt_text
from zeropoint.errors import BadInput


def read(path: Path, field: str = "text") -> list[str]:
    return [document.text for source in find_sources(path) for document in documents(source, field)]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    write(tmp_path / "b" / "1.md", "third")
    write(tmp_path / "a.txt", "first")
    write(tmp_path / "b.jsonl", '{"text": "second"}\n\n{"text": " \\n"}\n{"text": "again"}\n')
    write(tmp_path / "c.gz", "not read")
    write(tmp_path / ".hidden.txt", "not read")
    write(tmp_path / ".git" / "x.txt", "not read")
    write(tmp_path / "d.json", '[{"text": "fourth"}]')
    write(tmp_path / "empty.txt", "")
    write(tmp_path / "unseen.txt", "\u200b \0\n")
    assert read(tmp_path) == ["first", "second", "again", "third", "fourth"]
    names = ["a.txt", "b.jsonl", "b/1.md", "d.json", "empty.txt", "unseen.txt"]
    assert [s.name for s in find_sources(tmp_path)] == names


def test_text_is_unchanged_except_line_ends(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.txt", b"\xef\xbb\xbf\n one\r\ntwo\rthree\n\n")) == [
        "\n one\ntwo\nthree\n\n"
    ]


def test_separators_split_a_text_file(tmp_path: Path) -> None:
    text = "One day.\n\nThe end.\n<|endoftext|>\n\nTwo.\n<|endoftext|>Three.<|endoftext|>\n"
    assert read(write(tmp_path / "a.txt", text)) == ["One day.\n\nThe end.", "Two.", "Three."]


def test_compressed_text(tmp_path: Path) -> None:
    write(tmp_path / "a.txt.gz", gzip.compress(b"inside"))
    assert read(tmp_path) == ["inside"]
    write(tmp_path / "a.txt.gz", gzip.compress(b"inside" * 100)[:-9])
    with pytest.raises(BadInput, match=r"a\.txt\.gz cannot be read"):
        read(tmp_path)


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"story": ["one", "two"], "n": [1, 2]}), path)
    assert read(path, "story") == ["one", "two"]
    with pytest.raises(
        BadInput, match=r"a\.parquet: unknown column `text`; expected one of n, story.*--field"
    ):
        read(path)
    with pytest.raises(BadInput, match=r"a\.parquet, row 1: `n` must be text, not int"):
        read(path, "n")
    write(path, path.read_bytes()[:-20])
    with pytest.raises(BadInput, match=r"a\.parquet is not a valid Parquet file"):
        read(path, "story")


def test_an_instruction_becomes_prompt_and_completion(tmp_path: Path) -> None:
    records = [{"instruction": "Add.", "input": "1 2", "output": "3"}, {"instruction": "Hi", "output": "Ho"}]
    first, second = read(write(tmp_path / "a.json", json.dumps(records)))
    assert first == prompt_text("Add.", "1 2") + "3"
    assert first.endswith("### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n3")
    assert second == prompt_text("Hi") + "Ho"
    assert "### Input" not in second
    with pytest.raises(BadInput, match="item 1: `input` must be text, not int"):
        read(write(tmp_path / "a.json", json.dumps([records[1] | {"input": 3}])))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"good\nbad \xff\n", "a.txt, line 2: byte 0xFF is not UTF-8"),
        ("a.txt", "x".encode("utf-16"), "a.txt, line 1: byte 0xFF is not UTF-8"),
        ("a.jsonl", '{"text": "x"}\n{"text": ', "a.jsonl, line 2: invalid JSON"),
        ("a.jsonl", "[" * 100_000, "a.jsonl, line 1: invalid JSON"),
        ("a.jsonl", "3\n", "a.jsonl, line 1: expected an object with the text in `text`, not int"),
        ("a.jsonl", '{"txt": "x"}', "a.jsonl, line 1: unknown field `text`; expected one of txt"),
        ("a.jsonl", '{"text": null}', "a.jsonl, line 1: `text` must be text, not NoneType"),
        ("a.jsonl", '{"text": "\\ud800"}', "a.jsonl, line 1: `text` has a lone surrogate"),
        ("a.json", '{"text": "x"}', "a.json must be a JSON list"),
        ("a.json", '[{"text": "x"},\n {"text": 1}]', "a.json, item 2: `text` must be text, not int"),
        ("a.pdf", "x", "must end in .txt"),
    ],
)
def test_errors_name_the_file_and_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message.replace("[", r"\[")):
        read(write(tmp_path / name, content))


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no \.txt"):
        find_sources(tmp_path)
    with pytest.raises(BadInput, match="does not exist; give the path of your texts"):
        find_sources(tmp_path / "none")


def test_pipes_and_circular_links_are_skipped(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "text")
    os.mkfifo(tmp_path / "b.txt")
    (tmp_path / "c").symlink_to(tmp_path)
    (tmp_path / "d.txt").symlink_to(tmp_path / "d.txt")
    assert read(tmp_path) == ["text"]
