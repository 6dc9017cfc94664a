"""`zeropoint inspect`, and the intervention options, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

INSPECT = ("inspect", "abcd ab", "--model")


def test_the_logit_lens_is_the_default(run: Run, tiny_path: Path) -> None:
    lines = run(*INSPECT, str(tiny_path), "--top", "2").out.splitlines()
    assert lines[0] == "after 'ab', layer by layer"
    assert [line.split("\t")[0] for line in lines[1:]] == ["0", "1"]
    assert run(*INSPECT, str(tiny_path), "--lens", "--at", "0").out.startswith("after 'abc', layer by layer")


def test_json_has_every_view(run: Run, tiny_path: Path) -> None:
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
    output = json.loads(run(*INSPECT, str(tiny_path), *options, "--json").out)
    n = len(output["tokens"])
    assert "".join(token["text"] for token in output["tokens"]) == "abcd ab"
    assert [layer["layer"] for layer in output["lens"]["layers"]] == [0, 1]
    assert output["logprobs"][0] is None
    assert len(output["logprobs"]) == len(output["alternatives"]) == n
    assert output["next"] == {k: v for k, v in output["lens"]["layers"][-1].items() if k != "layer"}
    assert [(a["layer"], a["head"], len(a["weights"])) for a in output["attention"]] == [(1, 3, n), (0, 1, n)]
    assert output["next"]["requested"][0]["text"] == "a"


def test_only_the_selected_views_are_printed(run: Run, tiny_path: Path) -> None:
    out = run(*INSPECT, str(tiny_path), "--logprobs", "--attention", "0.2", "--token", "a").out
    assert "each token, given those before it" in out
    assert "(next)" in out
    assert "attention of layer 0, head 2" in out
    assert "layer by layer" not in out


@pytest.mark.parametrize(
    "intervention",
    [
        ("--ablate", "0.1"),
        ("--ablate-feature", "1.5"),
        ("--steer", "abd", "cd", "--layer", "0", "--scale", "9"),
    ],
    ids=lambda intervention: intervention[0],
)
def test_an_intervention_changes_the_result(run: Run, tiny_path: Path, intervention: tuple[str, ...]) -> None:
    plain, changed = (run(*INSPECT, str(tiny_path), "--json", *options).out for options in ((), intervention))
    assert json.loads(plain)["tokens"] == json.loads(changed)["tokens"]
    assert plain != changed
    answers = [
        run("generate", "ab", "-m", str(tiny_path), "-n", "8", "--temperature", "0", "--json", *options).out
        for options in ((), intervention)
    ]
    assert json.loads(answers[1])["usage"]["cached_tokens"] == 0
    if intervention[0] == "--steer":
        assert json.loads(answers[0])["text"] != json.loads(answers[1])["text"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--attention", "1"), "--attention 1 is not a layer and head; write 3.5"),
        (("--attention", "7.0"), "layer 7 is not in the model; it has layers 0 to 1"),
        (("--attention", "1.9"), "head 9 is not at blocks.1.attention.weights; it has heads 0 to 3"),
        (("--ablate", "0.9"), "blocks.0.attention.context has no head 9"),
        (("--ablate-feature", "0.x"), "write 3.5 for feature 5"),
        (("--scale", "2"), "add --steer TOWARDS AWAY"),
        (("--steer", "a", "b", "--layer", "5"), "layer 5 is not in the model"),
        (("--token", "abcd"), "not one token"),
        (("--at", "9"), "--at is 9; the text has tokens 0 to 3"),
    ],
)
def test_bad_options_are_rejected(run: Run, tiny_path: Path, options: tuple[str, ...], message: str) -> None:
    result = run(*INSPECT, str(tiny_path), *options)
    assert result.code == 2
    assert message in result.err
