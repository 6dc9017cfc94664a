"""verify and trace as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


def test_verify_prints_a_row_in_a_pipe(run: Run) -> None:
    result = run("verify", "3", "20")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert result.code == 0
    assert [row[0] for row in rows] == ["3", "20a", "20b"]
    assert rows[0][2:6] == ["4.17439", "4.174387", "5e-06", "holds"]
    assert rows[2][5] == "does not hold"
    assert "nearer to 2 than to 0" in rows[2][6]


def test_verify_prints_a_paragraph_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    out = run("verify", "16").out
    for word in ("published", "ours", "tolerance", "verdict", "source", "see"):
        assert f"     {word}" in out


def test_verify_as_json(run: Run) -> None:
    told = json.loads(run("verify", "13", "--json").out)
    assert (told["n_held"], told["n_claims"]) == (1, 1)
    assert told["claims"][0]["published"] == [6.988e-4, 4000.0]


def test_verify_refuses_a_number_that_there_is_not(run: Run) -> None:
    result = run("verify", "99")
    assert result.code == 2
    assert "unknown claim `99`" in result.err


def test_verify_ends_with_1_where_a_number_differs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from zeropoint.evaluate.claims import uniform_loss

    monkeypatch.setattr(uniform_loss, "CLAIM", replace(uniform_loss.CLAIM, compute=lambda: 5.0))
    result = run("verify", "3")
    assert result.code == 1
    assert "differs" in result.out


def test_trace_shows_matrices_and_the_answer(run: Run) -> None:
    result = run("trace", "handmade:aab", "aabaab", "--at", "5")
    assert result.code == 0
    assert "blocks.0.attention, head 0, weights: softmax" in result.out
    assert result.out.endswith("after aabaa comes b (right)\n")
    assert max(map(len, result.out.splitlines())) <= 100


def test_trace_of_one_matrix_and_as_json(run: Run) -> None:
    told = json.loads(run("trace", "handmade:brackets", "(()", "--only", "mix", "--json").out)
    assert [m["name"] for m in told["matrices"]] == ["blocks.0.attention, head 0, mix"]
    assert told["answer"] == ")"


def test_trace_writes_a_model_file(run: Run, tmp_path: Path) -> None:
    from zeropoint.weights.gguf import open_gguf

    path = tmp_path / "previous.gguf"
    assert run("trace", "handmade:previous", "ab", "--write", str(path)).code == 0
    assert "blocks.0.attention.query.weight" in open_gguf(path).tensors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["aab", "a"], "expected one of handmade:aab"),
        (["handmade:ab", "a"], "closest: aab"),
        (["handmade:aab", "axa"], "holds 'x'"),
        (["handmade:aab", "aab", "--at", "9"], "1 to 3"),
        (["handmade:aab", "aab", "--only", "nothing"], "no matrix has `nothing`"),
    ],
)
def test_trace_refuses(run: Run, arguments: list[str], says: str) -> None:
    result = run("trace", *arguments)
    assert result.code == 2
    assert says in result.err
