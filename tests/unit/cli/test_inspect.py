"""`zeropoint inspect` and the options that change a pass, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

LOOK = ("inspect", "abcd ab", "--model")


def test_the_lens_is_what_is_shown_first(run: Run, tiny_path: Path) -> None:
    lines = run(*LOOK, str(tiny_path), "--top", "2").out.splitlines()
    assert lines[0] == "after 'ab', layer by layer"
    assert [line.split("\t")[0] for line in lines[1:]] == ["0", "1"]
    assert run(*LOOK, str(tiny_path), "--lens", "--at", "0").out.startswith("after 'abc', layer by layer")


def test_everything_as_json(run: Run, tiny_path: Path) -> None:
    options = [
        "--lens",
        "--logprobs",
        "--attention",
        "1.3",
        "--attention",
        "0.1",
        "--token",
        "a",
        "--top",
        "2",
    ]
    found = json.loads(run(*LOOK, str(tiny_path), *options, "--json").out)
    n = len(found["tokens"])
    assert "".join(token["text"] for token in found["tokens"]) == "abcd ab"
    assert [layer["layer"] for layer in found["lens"]["layers"]] == [0, 1]
    assert found["logprobs"][0] is None
    assert len(found["logprobs"]) == len(found["alternatives"]) == n
    assert found["next"] == {k: v for k, v in found["lens"]["layers"][-1].items() if k != "layer"}
    assert [(a["layer"], a["head"], len(a["weights"])) for a in found["attention"]] == [(1, 3, n), (0, 1, n)]
    assert found["next"]["named"][0]["text"] == "a"


def test_tables_of_all_three(run: Run, tiny_path: Path) -> None:
    out = run(*LOOK, str(tiny_path), "--logprobs", "--attention", "0.2", "--token", "a").out
    assert "each token, given those before it" in out
    assert "(next)" in out
    assert "attention of layer 0, head 2" in out
    assert "layer by layer" not in out


@pytest.mark.parametrize(
    "change",
    [
        ("--silence", "0.1"),
        ("--silence-feature", "1.5"),
        ("--steer", "abd", "cd", "--layer", "0", "--scale", "9"),
    ],
    ids=lambda change: change[0],
)
def test_changes_are_seen(run: Run, tiny_path: Path, change: tuple[str, ...]) -> None:
    plain, changed = (run(*LOOK, str(tiny_path), "--json", *more).out for more in ((), change))
    assert json.loads(plain)["tokens"] == json.loads(changed)["tokens"]
    assert plain != changed
    answers = [
        run("generate", "ab", "-m", str(tiny_path), "-n", "8", "--temperature", "0", "--json", *more).out
        for more in ((), change)
    ]
    assert json.loads(answers[1])["usage"]["cached_tokens"] == 0
    if change[0] == "--steer":
        assert json.loads(answers[0])["text"] != json.loads(answers[1])["text"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--attention", "1"), "--attention 1 is no layer and head; write 3.5"),
        (("--attention", "7.0"), "layer 7 is not in the model; it has layers 0 to 1"),
        (("--attention", "1.9"), "head 9 is not at blocks.1.attention.weights; it has heads 0 to 3"),
        (("--silence", "0.9"), "head 9 is not at blocks.0.attention.mix"),
        (("--silence-feature", "0.x"), "write 3.5 for feature 5"),
        (("--scale", "2"), "give --steer TOWARDS AWAY too"),
        (("--steer", "a", "b", "--layer", "5"), "layer 5 is not in the model"),
        (("--token", "abcd"), "not one token"),
        (("--at", "9"), "--at is 9; the text has tokens 0 to 3"),
    ],
)
def test_what_cannot_be_shown_is_a_sentence(
    run: Run, tiny_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    result = run(*LOOK, str(tiny_path), *options)
    assert result.code == 2
    assert sentence in result.err
