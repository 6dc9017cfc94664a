"""translate as a person meets it."""

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


def test_a_run_has_a_name_too(run: Run, trained_pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(trained_pairs)
    assert run("translate", "mine", "Kein Hund").out == "No dog\n"
    result = run("translate", "yours", "Kein Hund")
    assert (result.code, result.err) == (
        2, "error: there is no run yours, nor runs/yours; make one: zeropoint train multi30k\n"
    )  # fmt: skip


def test_stdin_that_is_no_text_is_refused(run: Run, trained_pairs: Path) -> None:
    result = run("translate", str(trained_pairs), stdin=b"caf\xe9")
    assert (result.code, "stdin is not valid UTF-8 (byte 3)" in result.err) == (2, True)


def test_attention_is_shown_and_drawn(run: Run, trained_pairs: Path, tmp_path: Path) -> None:
    result = run(
        "translate", str(trained_pairs), "Ein Hund", "--attention", "--only", "source", "--pictures", "maps"
    )
    assert "decoder source, layer 1: 2 heads" in result.out
    assert "encoder self" not in result.out
    (picture,) = (tmp_path / "maps").iterdir()
    assert picture.name == "decoder-source.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_as_json(run: Run, trained_pairs: Path) -> None:
    told = json.loads(run("translate", str(trained_pairs), "Ein Hund", "--attention", "--json").out)
    assert (told["lines"], told["translations"]) == (["Ein Hund"], ["A dog"])
    assert [(one["kind"], one["layer"]) for one in told["maps"]][-1] == ("decoder source", 1)
    assert told["maps"][-1]["keys"] == ["Ein", "Hund", "</s>"]


def test_bleu_as_table_and_json(run: Run, trained_pairs: Path) -> None:
    argv = ("translate", str(trained_pairs), "--bleu", "test", "--average", "2")
    rows = [line.split("\t") for line in run(*argv).out.splitlines()]
    assert [row[2] for row in rows] == ["100.00"] * len(rows)
    told = json.loads(run(*argv, "--json").out)
    assert told["rows"][0]["search"] == "greedy"
    assert "tok:13a" in told["rows"][0]["signature"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("Ein", "--attention", "--only", "sauce"), "no map has `sauce`"),
        (("Ein\nKein", "--attention"), "attention is shown for one line"),
        (("Ein", "--checkpoint", "7"), "no checkpoint `7`"),
        (("Ein", "--average", "99"), "give 1 to"),
        (("Ein", "--beam", "0"), "n_beams is 0"),
        (("--bleu", "tst"), "closest: test"),
    ],
)
def test_what_is_wrong_is_said(run: Run, trained_pairs: Path, argv: tuple[str, ...], said: str) -> None:
    result = run("translate", str(trained_pairs), *argv)
    assert result.code == 2
    assert said in result.err
