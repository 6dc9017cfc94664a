"""Lines of data become conversations, or one sentence that names the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zeropoint.errors import BadInput
from zeropoint.tune.examples import read_examples

USER, ANSWER = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}


def write(folder: Path, *records: Any) -> Path:
    path = folder / "data.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records))
    return path


def test_layouts_mean_the_same(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"messages": [USER, ANSWER]},
        "",
        {"prompt": "Q", "completion": "A"},
        {"prompt": [USER], "completion": [ANSWER]},
        {"instruction": "Q", "output": "A"},
        {"instruction": "Q", "input": "X", "output": "A"},
    )
    examples = read_examples(path)
    assert [e.conversations for e in examples[:4]] == [((USER, ANSWER),)] * 4
    assert examples[4].conversations[0][0]["content"] == "Q\n\nX"
    assert [e.line for e in examples] == [1, 3, 4, 5, 6]
    assert [e.learns_all for e in examples] == [True, False, False, False, False]


def test_pairs_and_labels(tmp_path: Path) -> None:
    (pair,) = read_examples(write(tmp_path, {"prompt": "Q", "chosen": "A", "rejected": "B"}), "pairs")
    assert [c[-1]["content"] for c in pair.conversations] == ["A", "B"]
    (label,) = read_examples(write(tmp_path, {"prompt": "Q", "completion": "A", "label": False}), "labels")
    assert not label.is_good


@pytest.mark.parametrize(
    ("record", "data", "sentence"),
    [
        ("{", "answers", "line 2: this is not JSON"),
        ("[1]", "answers", "line 2: a list instead of an object; write `messages`, or"),
        ({"text": "x"}, "answers", "line 2: found `text`; write `messages`, or"),
        ({"messages": []}, "answers", "line 2: `messages` must be a list"),
        ({"messages": [USER]}, "answers", "line 2: `messages` must end with an answer"),
        ({"messages": [{"role": "x"}]}, "answers", r"line 2: `messages\[0\].role` must be one of system"),
        ({"messages": [{"role": "user"}]}, "answers", r"line 2: `messages\[0\].content` must be text"),
        (
            {"prompt": "Q", "completion": " "},
            "answers",
            "line 2: `completion` must be text that is not empty",
        ),
        (
            {"instruction": "", "output": "A"},
            "answers",
            "line 2: `instruction` must be text that is not empty",
        ),
        ({"prompt": "Q", "chosen": "A"}, "pairs", "line 2: `rejected` is missing"),
        ({"prompt": "Q", "chosen": "A", "rejected": "A"}, "pairs", "line 2: `chosen` and `rejected` are the"),
        ({"prompt": "Q", "completion": "A", "label": 1}, "labels", "line 2: `label` must be true"),
    ],
)
def test_a_problem_names_its_line(record: Any, data: str, sentence: str, tmp_path: Path) -> None:
    good = {"prompt": "Q", "completion": "A", "chosen": "A", "rejected": "B", "label": True}
    path = write(tmp_path, good, record, good, record)
    with pytest.raises(BadInput, match=rf"data\.jsonl: {sentence}.*; lines with problems after it: 1 \(4\)"):
        read_examples(path, data)


def test_files_without_examples(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no examples"):
        read_examples(write(tmp_path, "", " "))
    with pytest.raises(BadInput, match="does not exist"):
        read_examples(tmp_path / "missing.jsonl")
    with pytest.raises(BadInput, match=r"ends in \.jsonl"):
        read_examples(tmp_path / "data.parquet")


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeropoint.tune.examples._MAX_LINE_BYTES", 1000)
    path = tmp_path / "data.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n' + "x" * 5000)
    with pytest.raises(BadInput, match="line 2 is longer"):
        read_examples(path)
