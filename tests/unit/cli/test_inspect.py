"""`zeropoint inspect`, and the intervention options, on a tiny model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from zeropoint.inspect.page import EXPLANATIONS

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
    assert output["usage"] == {
        "prompt_tokens": n,
        "completion_tokens": 0,
        "total_tokens": n,
        "cached_tokens": 0,
    }
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


@pytest.mark.heavy
def test_views_are_drawn_on_a_page_and_as_a_picture(run: Run, tiny_path: Path) -> None:
    result = run(*INSPECT, str(tiny_path), "--html", "look.html", "--png", "look.png")
    assert (result.code, result.out) == (0, "")
    page = Path("look.html").read_text("utf-8")
    for heading, explanation in EXPLANATIONS.items():
        is_shown = heading != "Attention of single heads"
        assert (f"<h2>{heading}</h2>" in page, explanation in page) == (is_shown, is_shown)
    assert "layer 1, head 3" in page
    assert Path("look.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(path.name for path in Path.cwd().glob("look*")) == ["look.html", "look.png"]


def test_only_the_selected_views_are_drawn(run: Run, tiny_path: Path) -> None:
    files = ("--html", "look.html", "--png", "look.png")
    result = run(*INSPECT, str(tiny_path), "--lens", "--token", "a", "--attention", "1.2", *files, "--json")
    assert "attention" in json.loads(result.out)
    page = Path("look.html").read_text("utf-8")
    assert "<h2>Logit lens</h2>" in page
    assert "probability of &#x27;a&#x27; as the next token" in page
    assert "layer 1, head 2" in page
    assert "Token probabilities" not in page
    assert "Attention by layer and head" not in page


def test_a_drawing_replaces_an_older_one(run: Run, tiny_path: Path) -> None:
    Path("look.html").write_text("old")
    assert run(*INSPECT, str(tiny_path), "--html", "look.html").code == 0
    assert Path("look.html").read_text("utf-8").startswith("<!doctype html>")


def test_a_drawing_of_one_token(run: Run, tiny_path: Path) -> None:
    result = run("inspect", "a", "--model", str(tiny_path), "--html", "look.html", "--png", "look.png")
    assert (result.code, result.err) == (0, "")


@pytest.mark.heavy
def test_hostile_text_is_escaped_on_the_page(run: Run, tiny_path: Path) -> None:
    """The tiny vocabulary spells bytes, so a text of markup has tokens of markup."""
    result = run(
        "inspect", "<script>$x$</script>", "-m", str(tiny_path), "--html", "x.html", "--png", "x.png"
    )
    assert (result.code, result.err) == (0, "")
    page = Path("x.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;$x$" in page


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
        (("--html", "x", "--png", "x"), "--html and --png both write x; give two names"),
        (("--png", "."), ". is a folder; give the name of a file to write"),
        (("--html", "no/x.html"), "there is no folder no; create it"),
    ],
)
def test_bad_options_are_rejected(run: Run, tiny_path: Path, options: tuple[str, ...], message: str) -> None:
    result = run(*INSPECT, str(tiny_path), *options)
    assert result.code == 2
    assert message in result.err


def test_a_text_too_long_to_draw_is_rejected(run: Run, tiny_path: Path) -> None:
    result = run("inspect", "a" * 200, "--model", str(tiny_path), "--html", "look.html")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "a drawing shows at most 128 tokens; the text has 200, so shorten it" in result.err
    assert not Path("look.html").exists()


def test_a_picture_names_the_missing_package(
    run: Run, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run(*INSPECT, str(tiny_path), "--png", "look.png")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "run `pip install matplotlib`" in result.err
