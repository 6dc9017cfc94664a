"""The commands of docs/tour.md print what it shows; docs/glossary.md has two sentences for each word."""

from __future__ import annotations

import io
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT
from zeropoint.cli.app import main

TOUR, GLOSSARY = ROOT / "docs" / "tour.md", ROOT / "docs" / "glossary.md"
# A step: what the test adds to the command, the shell block, and the output if it is the same everywhere.
STEP = re.compile(
    r"(?:^<!-- the test adds: ([^\n]*) -->\n)?^```sh\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


class Terminal(io.StringIO):
    """Collects output and claims to be a terminal, so that tables have headers."""

    def isatty(self) -> bool:
        return True


def run(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    output = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stdout", output)
    with pytest.raises(SystemExit) as exit:
        main(argv)
    assert exit.value.code == 0, output.getvalue()
    return output.getvalue()


def words(text: str) -> list[str]:
    """The lines of an output without differences in spacing; "..." and empty lines say nothing."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line not in ("", "...")]


@pytest.mark.train
@pytest.mark.model
@pytest.mark.usefixtures("smollm2_path")
def test_the_commands_of_the_tour_print_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    steps = [step for step in STEP.findall(TOUR.read_text("utf-8")) if step[1].startswith("zeropoint ")]
    for addition, command, expected in steps:
        argv = [*shlex.split(command), *shlex.split(addition)][1:]
        printed = " ".join(words(run(argv, monkeypatch)))
        for line in words(expected):
            assert line in printed, f"{command}prints no longer: {line}"
    assert len(steps) == 10


def test_the_readme_and_the_help_lead_to_both_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ((ROOT / "README.md").read_text("utf-8"), run(["--help"], monkeypatch)):
        assert "docs/tour.md" in text
        assert "docs/glossary.md" in text


def test_each_word_of_the_glossary_has_two_sentences_and_a_place_that_shows_it() -> None:
    entries = re.findall(
        r"^- \*\*(.+?)\*\*: (.*?)(?=^- |\Z)", GLOSSARY.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    names = [name for name, _ in entries]
    assert len(names) > 30
    assert names == sorted(names, key=str.lower)
    for name, text in entries:
        meaning, _, shown = " ".join(text.split()).partition(" See ")
        assert len(re.findall(r"\.(?= |$)", meaning)) == 2, name
        assert "`" in shown or "](" in shown, name
