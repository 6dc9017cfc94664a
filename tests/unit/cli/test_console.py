"""Colour, progress bars and tables on terminals and in pipes."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from zeropoint.cli.console import Console
from zeropoint.cli.reply_writer import ReplyWriter
from zeropoint.tokenizers.chat.reply.events import Reasoning, Text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "on_terminal", "in_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"CLICOLOR_FORCE": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
    ],
)
def test_colour(environ: dict[str, str], on_terminal: bool, in_pipe: bool) -> None:
    console = Console(environ)
    assert (console.has_color(Terminal()), console.has_color(io.StringIO())) == (on_terminal, in_pipe)
    console.color = False
    assert not console.has_color(Terminal())


def download(console: Console, total: int | None = 1000) -> None:
    with console.progress("fetching a\x1bname") as report:
        for done in range(0, 1001, 50):
            report(total, done)


def test_download_progress_in_a_pipe_needs_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console({})
    download(console)
    assert capsys.readouterr().err == ""
    console.is_verbose = True
    download(console)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].split(" ")[0] for line in lines] == [str(n) for n in range(0, 101, 10)]
    assert lines[0].startswith("fetching a\\x1bname: 0 %")
    download(console, total=None)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_terminal_shows_a_bar_for_a_slow_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    download(Console({"TERM": "xterm"}))
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
    monkeypatch.setattr("zeropoint.cli.console._BAR_DELAY_S", 0)
    download(Console({"TERM": "xterm"}))
    assert "fetching a\\x1bname" in sys.stderr.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "environ",
    [
        {"CI": "true", "TERM": "xterm"},
        {"TERM": "dumb"},
        {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TERM": "xterm"},
    ],
)
def test_the_environment_can_disable_the_bar(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("zeropoint.cli.console._BAR_DELAY_S", 0)
    download(Console(environ))
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_an_answer_is_wrapped_at_words_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "one two three\x1b"
    monkeypatch.setattr("zeropoint.cli.console._columns", lambda stream: 10)
    Console({"TERM": "xterm"}).text_writer()(text)
    assert capsys.readouterr().out == text
    monkeypatch.setattr("zeropoint.cli.console._is_tty", lambda stream: True)
    Console({"TERM": "dumb"}).text_writer()(text)
    assert capsys.readouterr().out == "one two three\\x1b"
    Console({"TERM": "xterm"}).text_writer()(text)
    assert capsys.readouterr().out == "one two t\x1b[1D\x1b[K\nthree\\x1b"


def test_remarks_and_errors_are_lines_of_words_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zeropoint.cli.console._columns", lambda stream: 18)
    console = Console({"TERM": "xterm", "NO_COLOR": "1"})
    console.warning("the answer was cut off")
    assert capsys.readouterr().err == "the answer was cut off\n"
    monkeypatch.setattr("zeropoint.cli.console._is_tty", lambda stream: True)
    console.warning("the answer was cut off")
    console.error("there is no file a-path-that-is-wider-than-the-terminal")
    assert capsys.readouterr().err == (
        "the answer was\ncut off\nerror: there is\nno file\na-path-that-is-wider-than-the-terminal\n"
    )


def test_a_table_is_aligned_on_a_terminal_and_tab_separated_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Console({}).table(("name", "size"), [("a\tb", 1), ("c", 22)])
    assert capsys.readouterr().out == "a\\tb\t1\nc\t22\n"
    monkeypatch.setattr(sys, "stdout", Terminal())
    Console({"NO_COLOR": "1"}).table(("name", "size"), [("a\tb", 1), ("c", 22)])
    lines = [line.rstrip() for line in sys.stdout.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines == ["name  size", "a\\tb  1", "c     22"]


def test_zsh_completion() -> None:
    def complete(words: str, n: int) -> str:
        environ = {"_ZEROPOINT_COMPLETE": "zsh_complete", "COMP_WORDS": words, "COMP_CWORD": str(n)}
        done = subprocess.run(
            [
                "env",
                *(f"{k}={v}" for k, v in environ.items()),
                sys.executable,
                "-c",
                "import zeropoint.cli.app as a; a.main()",
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert complete("zeropoint ch", 1).startswith("plain\nchat\n")
    assert "plain\nsmollm2:135m\n" in complete("zeropoint chat --model smol", 3)
    assert "plain\n--temperature\n" in complete("zeropoint chat --temp", 2)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm"}, "\x1b[2mhm\x1b[0m\x1b[2m, yes\x1b[0m\n\nYes."),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "Thinking:\nhm, yes\n\nAnswer:\nYes."),
    ],
)
def test_reasoning_is_dimmed_or_named_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environ: dict[str, str],
    expected: str,
) -> None:
    monkeypatch.setattr("zeropoint.cli.console._is_tty", lambda stream: True)
    writer = ReplyWriter(Console(environ))
    for event in (Reasoning("hm"), Reasoning(", yes"), Text("Yes"), Text(".")):
        writer.write(event)
    assert capsys.readouterr().out == expected
