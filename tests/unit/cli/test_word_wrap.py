"""Streamed text wraps at words on a terminal, which a small emulator shows here."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len, split_graphemes

from zeropoint.cli.word_wrap import WordWrapper

WORDS = "The quick brown fox jumps over the lazy dog and runs away from everyone who looks"


def screen(output: str, columns: int) -> list[str]:
    """The lines of a terminal after `output`, with trailing spaces removed."""
    rows: list[list[str]] = [[]]  # one text for each cell; "" for the second cell of a wide character
    for escape, text in re.findall(r"\x1b\[(\d*[DK])|([^\x1b]+)", output):
        if escape.endswith("D"):
            assert int(escape[:-1]) <= len(rows[-1])
            cursor = len(rows[-1]) - int(escape[:-1])
        elif escape == "K":
            del rows[-1][cursor:]
        for line_number, line in enumerate(text.split("\n") if text else []):
            if line_number:
                rows.append([])
            for start, end, width in split_graphemes(line)[0]:
                if len(rows[-1]) + width > columns:
                    rows.append([])
                rows[-1] += [line[start:end], *[""] * (width - 1)]
    return ["".join(row).rstrip() for row in rows]


def wrapped(text: str, columns: int, size: int = 3) -> list[str]:
    """The screen after `text` is streamed in pieces of `size` characters."""
    wrapper = WordWrapper(lambda: columns)
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    return screen("".join(wrapper.push(piece) for piece in pieces), columns)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_lines_break_between_words(size: int) -> None:
    assert wrapped(WORDS, 20, size) == [
        "The quick brown fox",
        "jumps over the lazy",
        "dog and runs away",
        "from everyone who",
        "looks",
    ]


GRAPHEMES = st.sampled_from(["a", "b", "é", "日", "👍🏽", "🇩🇪", " "])


@given(st.lists(st.lists(GRAPHEMES, min_size=1, max_size=12).map("".join), max_size=20), st.integers(14, 40))
def test_no_word_is_broken_or_lost(words: list[str], columns: int) -> None:
    text = " ".join(words)
    lines = wrapped(text, columns)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(cell_len(line) < columns for line in lines)
    latin = [word for word in re.split("[^abé]+", text) if len(word) > 1]
    assert [word for word in latin if not any(word in line for line in lines)] == []


def test_everything_is_written_at_once() -> None:
    wrapper = WordWrapper(lambda: 20)
    for end in range(1, len(WORDS)):
        assert wrapper.push(WORDS[end - 1]).endswith(WORDS[end - 1]) or WORDS[end - 1] == " "


def test_newlines_and_indentation_stay() -> None:
    text = "- one\n  - two words\n\n1. three"
    assert wrapped(text, 20) == text.split("\n")


def test_wide_characters_break_anywhere_but_before_closing_punctuation() -> None:
    assert wrapped("日本語の文章です。", 12) == ["日本語の文", "章です。"]
    assert wrapped("日本語の文章。です", 14) == ["日本語の文", "章。です"]


@pytest.mark.parametrize("emoji", ["👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "❤\ufe0f"])
@pytest.mark.parametrize("n_before", range(8, 20))
def test_an_emoji_of_several_characters_stays_whole(emoji: str, n_before: int) -> None:
    """Terminals disagree about its width, so it is never erased."""
    before = "x" * n_before
    assert "".join(wrapped(f"{before}{emoji} next", 20, 1)).replace(" ", "") == f"{before}{emoji}next"


def test_a_word_wider_than_the_terminal_is_left_to_the_terminal() -> None:
    assert wrapped("see " + "x" * 45 + " next", 20) == ["see", "x" * 20, "x" * 20, "xxxxx next"]
    assert "\n" not in WordWrapper(lambda: 20).push("x" * 45)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint('a line of code that is longer than the terminal')\n```",
        "~~~\n  indented and longer than the terminal\n~~~",
        "| a table | with a row | longer than the terminal |",
    ],
)
def test_code_and_tables_are_left_to_the_terminal(text: str) -> None:
    wrapper = WordWrapper(lambda: 20)
    assert "".join(map(wrapper.push, text)) == text
    assert wrapper.push(f"\n{WORDS}").count("\n") > 1  # text afterwards is wrapped again


def test_a_resized_terminal_wraps_at_its_new_width() -> None:
    width = 40
    wrapper = WordWrapper(lambda: width)
    assert screen(wrapper.push(WORDS[:36]), width) == [WORDS[:36]]
    width = 12
    lines = screen(wrapper.push("\n" + WORDS), width)
    assert max(map(len, lines)) < 12


@pytest.mark.parametrize("columns", [0, 5])
def test_without_a_usable_width_nothing_changes(columns: int) -> None:
    assert WordWrapper(lambda: columns).push(WORDS) == WORDS
