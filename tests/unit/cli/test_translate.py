"""`zeropoint translate`: arguments and stdin, attention, pictures, BLEU and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


def test_a_text_is_translated(run: Run, trained_pairs: Path) -> None:
    result = run("translate", str(trained_pairs), "Ein Bär hört ein Tier")
    assert (result.code, result.out) == (0, "A bear hears a beast\n")


def test_lines_of_stdin_are_translated(run: Run, trained_pairs: Path) -> None:
    result = run("translate", str(trained_pairs), "--beam", "1", stdin=b"Ein Hund\n\nKein Fisch sieht\n")
    assert result.out == "A dog\n\nNo fish sees\n"


def test_a_run_is_found_by_its_name(run: Run, trained_pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(trained_pairs)
    assert run("translate", "mine", "Kein Hund").out == "No dog\n"
    result = run("translate", "yours", "Kein Hund")
    assert (result.code, result.err) == (
        2,
        "error: unknown run `yours`; expected one of mine\n",
    )


def test_invalid_utf_8_on_stdin_is_rejected(run: Run, trained_pairs: Path) -> None:
    result = run("translate", str(trained_pairs), stdin=b"caf\xe9")
    assert (result.code, "stdin is not valid UTF-8 (byte 3)" in result.err) == (2, True)


def test_attention_is_printed_and_drawn(run: Run, trained_pairs: Path, tmp_path: Path) -> None:
    result = run(
        "translate", str(trained_pairs), "Ein Hund", "--attention", "--only", "source", "--pictures", "maps"
    )
    assert "decoder source, layer 1: mean of 2 heads" in result.out
    assert "encoder self" not in result.out
    (picture,) = (tmp_path / "maps").iterdir()
    assert picture.name == "decoder-source.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.train
def test_json(run: Run, trained_pairs: Path) -> None:
    output = json.loads(run("translate", str(trained_pairs), "Ein Hund", "--attention", "--json").out)
    assert output["usage"]["prompt_tokens"] == len(output["maps"][0]["keys"])
    assert (output["lines"], output["translations"]) == (["Ein Hund"], ["A dog"])
    assert [(m["kind"], m["layer"]) for m in output["maps"]][-1] == ("decoder source", 1)
    assert output["maps"][-1]["keys"] == ["Ein", "Hund", "</s>"]


def test_bleu_of_latest_and_averaged_weights(run: Run, trained_pairs: Path) -> None:
    argv = ("translate", str(trained_pairs), "--bleu", "test", "--average", "2")
    rows = [line.split("\t") for line in run(*argv).out.splitlines()]
    assert [row[1] for row in rows] == ["greedy", "beam 4"] * (len(rows) // 2)
    assert rows[-1][0] == "run, mean of steps 80 to 100"
    assert [row[2] for row in rows] == ["100.00"] * len(rows)
    output = json.loads(run(*argv, "--json").out)
    assert output["split"] == "test"
    assert output["results"][0]["search"] == "greedy"
    assert output["results"][0]["sentences"] == int(rows[0][3])
    assert "tok:13a" in output["results"][0]["signature"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("Ein", "--attention", "--only", "sauce"), "no attention map matches --only sauce"),
        (("Ein\nKein", "--attention"), "take a single line"),
        (("Ein", "--checkpoint", "7"), "no checkpoint `7`"),
        (("Ein", "--average", "99"), "give 1 to"),
        (("Ein", "--beam", "0"), "n_beams is 0"),
        (("--bleu", "tst"), "closest: test"),
    ],
)
def test_bad_input_is_rejected(run: Run, trained_pairs: Path, argv: tuple[str, ...], message: str) -> None:
    result = run("translate", str(trained_pairs), *argv)
    assert result.code == 2
    assert message in result.err
