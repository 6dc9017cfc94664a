"""Wrap a streamed text at words on a terminal, without holding any of it back.

A word is shown as it grows. When it reaches the right edge, the part on the screen is erased and the word
moves to the next line, as in Ollama. Lines of a code block and of a table stay whole, and a word wider than
the terminal is left to the terminal to break.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["WordWrapper", "fill"]

_MIN_COLUMNS = 10  # narrower terminals break lines themselves
_TAB = 8
_FENCES = ("```", "~~~")
# Punctuation that may not begin a line of Chinese or Japanese.
_CLOSING = frozenset("、。，．！？：；）］｝」』】》〉…ー")

_JOINER, _EMOJI_VARIANT, _FIRST_EMOJI = "\u200d", "\ufe0f", "\U0001f000"
_REGIONAL = frozenset(map(chr, range(0x1F1E6, 0x1F200)))  # two of these letters are a flag
_JOINED = frozenset([_JOINER, _EMOJI_VARIANT, *map(chr, range(0x1F3FB, 0x1F400))])  # and the skin tones


class WordWrapper:
    """Wraps one text. columns: the width of the terminal now, since it may be resized; 0 if it has none."""

    def __init__(self, columns: Callable[[], int]) -> None:
        self._get_columns = columns
        self._is_in_fence = False
        self._start_source_line()
        self._start_row()

    def push(self, text: str) -> str:
        """The next piece of the text, with the line breaks and escape codes that wrap it."""
        columns = self._get_columns()
        if columns < _MIN_COLUMNS:
            return text
        return "".join(self._put(character, columns) for character in text)

    def _start_source_line(self) -> None:
        self._head = ""  # its first characters, which tell code blocks and tables from text
        self._is_head_open = True
        self._is_whole = self._is_in_fence

    def _start_row(self) -> None:
        self._column = 0
        self._swallows_spaces = False
        self._start_word()

    def _start_word(self) -> None:
        self._word, self._word_width, self._word_column = "", 0, self._column
        self._is_cluster = False

    def _put(self, character: str, columns: int) -> str:
        if character == "\n":
            self._start_source_line()
            self._start_row()
            return character
        if self._is_head_open:
            self._read_head(character)
        if self._is_whole:
            return character
        if character in " \t":
            return self._put_space(character, columns)
        return self._put_in_word(character, columns)

    def _read_head(self, character: str) -> None:
        if not self._head and character in " \t":
            return
        self._head += character
        if self._head in _FENCES:
            self._is_in_fence = not self._is_in_fence
        is_fence = self._head in _FENCES
        self._is_whole |= is_fence or self._head == "|"
        self._is_head_open = not is_fence and any(fence.startswith(self._head) for fence in _FENCES)

    def _put_space(self, character: str, columns: int) -> str:
        if self._swallows_spaces:
            return ""
        width = _TAB - self._column % _TAB if character == "\t" else 1
        if self._column + width < columns:
            self._column += width
            self._start_word()
            return character
        self._start_row()
        self._swallows_spaces = True
        return "\n"

    def _put_in_word(self, character: str, columns: int) -> str:
        self._swallows_spaces = False
        width = self._grow(character)
        if self._column + width < columns:  # the last column stays free: a cursor there moves differently
            self._column += width
            return character
        if self._is_cluster:  # its width on this terminal is not known, so it cannot be erased
            self._column = columns
            return character
        if self._word_column > 0:
            moved = self._word[: -len(character)]
            n_shown = self._word_width - width
            self._column, self._word_column = self._word_width, 0
            erase = f"\x1b[{n_shown}D\x1b[K" if n_shown else ""
            return f"{erase}\n{moved}{character}"
        if self._column + width > columns:  # a word wider than the terminal
            self._column = 0
        self._column += width
        return character

    def _grow(self, character: str) -> int:
        """Add a character to the word, or begin a new one with it, and return its width in cells."""
        width = 1 if character.isascii() else _width(character)
        if _joins(self._word, character):
            self._is_cluster = True
        elif not character.isascii() or not self._word.isascii():
            is_wide = width == 2 or (self._word != "" and _width(self._word[0]) == 2)
            if is_wide and character not in _CLOSING:
                self._start_word()
        self._word += character
        self._word_width += width
        return width


def fill(text: str, columns: int) -> str:
    """A paragraph in lines that are shorter than the terminal where its words allow it."""
    if columns < _MIN_COLUMNS or (text.isascii() and len(text) < columns):
        return text
    lines: list[str] = []
    for word in text.split(" "):
        if lines and _text_width(lines[-1]) + 1 + _text_width(word) < columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def _joins(word: str, character: str) -> bool:
    """Whether a character is drawn as one with the last of the word, as in an emoji of several characters."""
    if not word or character.isascii():
        return False
    is_pair_of_flags = character in _REGIONAL and word[-1] in _REGIONAL
    return word[-1] == _JOINER or character in _JOINED or is_pair_of_flags


def _text_width(text: str) -> int:
    return sum(1 if character.isascii() else _width(character) for character in text)


def _width(character: str) -> int:
    """The cells of a character; the most that terminals give it, since they disagree about parts of emoji."""
    if character == _EMOJI_VARIANT:
        return 1
    if character >= _FIRST_EMOJI:
        return 2
    from rich.cells import cell_len

    return cell_len(character)
