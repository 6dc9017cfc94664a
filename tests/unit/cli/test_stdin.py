"""When a command reads stdin: files, pipes, loops, and input without end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zeropoint.cli import stdin
from zeropoint.cli.console import Console
from zeropoint.cli.stdin import Prompt
from zeropoint.errors import BadInput

SetStdin = Callable[[int], None]


@pytest.fixture
def set_stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetStdin]:
    """Make a file descriptor stdin, and close it afterwards."""
    files = []

    def set_stdin(descriptor: int) -> None:
        files.append(os.fdopen(descriptor, encoding="utf-8"))
        monkeypatch.setattr(sys, "stdin", files[-1])

    yield set_stdin
    for file in files:
        file.close()


@pytest.fixture
def pipe(set_stdin: SetStdin) -> Iterator[int]:
    """Make a pipe stdin and return the descriptor to write to."""
    read, write = os.pipe()
    set_stdin(read)
    yield write
    try:
        os.close(write)
    except OSError:
        return


def prompt(*arguments: str) -> Prompt:
    return Prompt(arguments, "question", Console({}))


def test_text_on_a_pipe_is_placed_before_the_argument(pipe: int) -> None:
    os.write(pipe, b"notes\n")
    os.close(pipe)
    assert prompt("Summarise this.").text() == "notes\n\nSummarise this."


def test_a_pipe_may_be_written_to_while_the_model_loads(pipe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    late = prompt("Summarise this.")
    os.write(pipe, b"notes\n")
    os.close(pipe)
    monkeypatch.setattr(stdin, "_WAIT_S", 0.0)
    assert late.text() == "notes\n\nSummarise this."


def test_a_silent_pipe_next_to_an_argument_is_given_up(
    pipe: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stdin, "_WAIT_S", 0.0)
    assert prompt("Name a colour.").text() == "Name a colour."
    assert "no text arrived on stdin within 0 s, so the question is used alone" in capsys.readouterr().err


def test_an_empty_pipe_is_no_text(pipe: int) -> None:
    os.close(pipe)
    assert prompt("Name a colour.").text() == "Name a colour."


@pytest.mark.parametrize("arguments", [["-"], [], ["-", "Why?"], ["Why?", "-"]])
def test_a_pipe_that_must_be_read_is_waited_for_and_named(
    pipe: int,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write_late(text: str) -> None:
        os.write(pipe, b"late\n")
        os.close(pipe)

    monkeypatch.setattr(stdin, "_PATIENCE_S", 0.0)
    console = Console({})
    monkeypatch.setattr(console, "warning", lambda text: (print(text, file=sys.stderr), write_late(text)))
    text = Prompt(arguments, "question", console).text()
    assert text == ("late\n\nWhy?" if "Why?" in arguments else "late")
    assert capsys.readouterr().err == "waiting for text on stdin: the question\n"


def test_every_line_of_a_loop_is_its_own_question(set_stdin: SetStdin, tmp_path: Path) -> None:
    """As in `while read -r q; do zeropoint chat "$q"; done < questions`."""
    path = tmp_path / "questions"
    path.write_text("one\ntwo\nthree\n")
    set_stdin(os.open(path, os.O_RDONLY))
    for question in ("one", "two", "three"):
        assert os.read(sys.stdin.fileno(), len(question) + 1).decode().strip() == question
        assert prompt(question).text() == question


def test_the_rest_of_a_file_is_read_on_request(
    set_stdin: SetStdin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "notes"
    path.write_text("heading\nnotes\n")
    set_stdin(os.open(path, os.O_RDONLY))
    os.read(sys.stdin.fileno(), len("heading\n"))
    console = Console({})
    console.is_verbose = True
    assert Prompt(["Why?"], "question", console).text() == "Why?"
    assert "the rest of stdin is left to the program that began to read it" in capsys.readouterr().err
    assert prompt("-", "Why?").text() == "notes\n\nWhy?"


def test_a_file_is_read_from_its_beginning(set_stdin: SetStdin, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("notes\n")
    set_stdin(os.open(path, os.O_RDONLY))
    assert prompt("Why?").text() == "notes\n\nWhy?"


def test_dev_null_is_no_text(set_stdin: SetStdin) -> None:
    set_stdin(os.open(os.devnull, os.O_RDONLY))
    assert prompt("Why?").text() == "Why?"
    with pytest.raises(BadInput, match="no question given; pass it as an argument or on stdin"):
        prompt()


@pytest.mark.parametrize("arguments", [["-"], [], ["Why?"]])
def test_input_without_end_is_refused(set_stdin: SetStdin, arguments: list[str]) -> None:
    set_stdin(os.open("/dev/zero", os.O_RDONLY))
    with pytest.raises(BadInput, match="stdin has more than 16 MiB of text; pass a shorter text"):
        Prompt(arguments, "question", Console({})).text()


def test_a_question_without_quotes_is_refused() -> None:
    with pytest.raises(BadInput, match="the question has 2 arguments; put it in quotes"):
        prompt("Why", "not?")
