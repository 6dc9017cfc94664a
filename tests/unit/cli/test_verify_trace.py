"""`zeropoint verify` and `zeropoint trace`."""

from __future__ import annotations

import json
import re

import pytest

from tests.unit.cli.conftest import Run


def test_verify_prints_one_row_per_claim_in_a_pipe(run: Run) -> None:
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
    output = json.loads(run("verify", "13", "--json").out)
    assert (output["holding"], output["total"]) == (1, 1)
    assert output["claims"][0]["published"] == [6.988e-4, 4000.0]


def test_verify_rejects_an_unknown_number(run: Run) -> None:
    result = run("verify", "99")
    assert result.code == 2
    assert "unknown claim `99`" in result.err


def test_verify_exits_with_1_if_a_number_differs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from zeropoint.learn.claims.published import uniform_loss

    monkeypatch.setattr(uniform_loss, "CLAIM", replace(uniform_loss.CLAIM, compute=lambda: 5.0))
    result = run("verify", "3")
    assert result.code == 1
    assert "differs" in result.out


def test_trace_prints_matrices_and_the_answer(run: Run) -> None:
    result = run("trace", "handmade:aab", "aabaab", "--at", "5")
    assert result.code == 0
    assert "blocks.0.attention, head 0, weights: softmax" in result.out
    assert result.out.endswith("after aabaa, the model predicts b (correct)\n")
    assert max(map(len, result.out.splitlines())) <= 100


def test_trace_starts_with_three_sentences(run: Run) -> None:
    out = run("trace", "handmade:brackets", "(()", "--only", "logits").out
    introduction = " ".join(out.split("\n\n")[0].split("\n"))
    assert introduction.count(". ") == 2
    assert introduction.startswith("The program brackets is a transformer whose weights were chosen by hand")
    assert "close the brackets that are open" in introduction
    assert "every matrix with `logits` in its name" in introduction
    assert '"2:)" is ) at position 2' in introduction


SHADED = ("trace", "handmade:aab", "aabaab", "--at", "3", "--only", "weights")


@pytest.mark.usefixtures("terminal")
def test_trace_is_shaded_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich inspects the stream itself
    result = run(*SHADED)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", result.out)
    lines = bare.splitlines()
    introduction, lines = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert lines[0] == "blocks.0.attention, head 0, weights: softmax of the causal scores"
    assert len({len(line) for line in lines[1:5]}) == 1  # names, then three rows of equal width
    assert [line.split()[0] for line in lines[2:5]] == ["0:a", "1:a", "2:b"]
    assert "48;5;25m" in result.out  # a weight of 1 in the darkest blue
    assert "darker is larger" in " ".join(introduction)


@pytest.mark.usefixtures("terminal")
def test_columns_with_a_common_name_share_a_heading(run: Run) -> None:
    out = re.sub(r"\x1b\[[0-9;]*m", "", run("trace", "handmade:aab", "aab", "--only", "embedding.weight").out)
    heading, names = out.split("\n\n")[1].splitlines()[1:3]
    assert (heading.count("position"), heading.count("token")) == (1, 1)
    assert heading.index("token") + len("token") <= len(names.rstrip()) - len(" balance")
    assert names.split() == ["0", "1", "2", "3", "4", "a", "b", "balance"]


@pytest.mark.usefixtures("terminal")
def test_trace_without_colour_is_plain_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(*SHADED, "--plain").out
    assert "\x1b" not in plain
    assert run(*SHADED, "--no-color").out == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(*SHADED).out == plain


def test_trace_in_a_pipe_is_plain_text(run: Run) -> None:
    assert run(*SHADED).out == run(*SHADED, "--plain").out


def test_shades_follow_sign_and_magnitude() -> None:
    from zeropoint.cli.matrix_view import _NEGATIVE, _POSITIVE, _style

    assert [_style(v, 8.0) for v in (8.0, 1.0, -1.0, -8.0)] == [
        _POSITIVE[-1],
        _POSITIVE[0],
        _NEGATIVE[0],
        _NEGATIVE[-1],
    ]
    assert _style(float("-inf"), 8.0) == _NEGATIVE[-1]
    assert _style(0.0, 0.0) == "dim"


def test_trace_selects_matrices_and_prints_json(run: Run) -> None:
    output = json.loads(run("trace", "handmade:brackets", "(()", "--only", "context", "--json").out)
    assert output["usage"]["prompt_tokens"] == 3
    assert [m["name"] for m in output["matrices"]] == ["blocks.0.attention, head 0, context"]
    assert output["prediction"] == ")"


@pytest.mark.parametrize(
    ("program", "text", "continued"),
    [("aab", "aab", "aa"), ("previous", "ab", "ab"), ("brackets", "(()", ")")],
)
def test_trace_writes_a_file_that_other_commands_open(
    run: Run, program: str, text: str, continued: str
) -> None:
    assert run("trace", f"handmade:{program}", text, "--write", "m.gguf").code == 0
    generated = run("generate", "-m", "m.gguf", text, "-n", "2", "--temperature", "0", "-q")
    assert (generated.code, generated.out) == (0, f"{continued}\n")
    inspected = run("inspect", "-m", "m.gguf", text, "--logprobs", "--attention", "0.0")
    assert (inspected.code, inspected.err) == (0, "")
    assert run("compare", "./m.gguf", "--text", text).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["aab", "a"], "expected one of handmade:aab"),
        (["handmade:ab", "a"], "closest: aab"),
        (["handmade:aab", "axa"], "contains 'x'"),
        (["handmade:aab", "aab", "--at", "9"], "1 to 3"),
        (["handmade:aab", "aab", "--write", "m"], "--write m must end in .gguf"),
        (["handmade:aab", "aab", "--only", "nothing"], "no matrix has `nothing`"),
    ],
)
def test_trace_rejects_bad_input(run: Run, arguments: list[str], message: str) -> None:
    result = run("trace", *arguments)
    assert result.code == 2
    assert message in result.err
