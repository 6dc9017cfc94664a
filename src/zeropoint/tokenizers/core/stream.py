"""Decode tokens as they arrive: complete characters only, ending before a stop string.

A token may hold part of a character, so bytes are buffered until the character is complete or invalid (then
it is U+FFFD, as in `Tokenizer.decode`). Text that may begin a stop string is buffered too. The work per
character is constant: one Knuth-Morris-Pratt state per stop string.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from zeropoint.errors import BadInput
from zeropoint.tokenizers.core.sanitize import check_unicode
from zeropoint.tokenizers.core.tokenizer import Tokenizer


class TextStream:
    """Incremental decoder: the text of all pushes together equals `Tokenizer.decode` of all ids.

    stop: strings that end the text and are excluded from it. skip_special_tokens, is_continuation: as in
    `decode`. shown_ids: control tokens that are not skipped.
    stopped: whether a stop string has occurred; every later push returns "". stopped_by: that string, or "".
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop: Sequence[str] = (),
        *,
        skip_special_tokens: bool = False,
        is_continuation: bool = False,
        shown_ids: frozenset[int] = frozenset(),
    ) -> None:
        self._tokenizer = tokenizer
        self._skipped = tokenizer.control_ids - shown_ids if skip_special_tokens else frozenset()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._drop_space = tokenizer.add_space_prefix and not is_continuation
        self._stops = [_StopMatcher(text) for text in ([stop] if isinstance(stop, str) else stop)]
        self._buffer = ""
        self.stopped = False
        self.stopped_by = ""

    def push(self, index: int) -> str:
        """Append a token and return the text it completes. Raises BadInput on an unknown id."""
        token_bytes = self._tokenizer.token_bytes(index)
        if self.stopped or index in self._skipped:
            return ""
        return self._release(self._decoder.decode(token_bytes))

    def finish(self) -> str:
        """Return the buffered text after the last token."""
        if self.stopped:
            return ""
        text = self._release(self._decoder.decode(b"", True))
        buffered, self._buffer = self._buffer, ""
        return text + buffered

    def _release(self, text: str) -> str:
        """Buffer new text and return the part that cannot belong to a stop string."""
        if self._drop_space and text:
            self._drop_space = False
            text = text.removeprefix(" ")
        if not self._stops:
            return text
        n_buffered = len(self._buffer)
        self._buffer += text
        for end, character in enumerate(text, n_buffered + 1):
            matched = [stop.text for stop in self._stops if stop.advance(character)]
            if matched:
                self.stopped_by = max(matched, key=len)
                released = self._buffer[: end - len(self.stopped_by)]
                self._buffer, self.stopped = "", True
                return released
        n_released = len(self._buffer) - max(stop.matched for stop in self._stops)
        released, self._buffer = self._buffer[:n_released], self._buffer[n_released:]
        return released


class _StopMatcher:
    """Knuth-Morris-Pratt state: the length of the prefix of a stop string that the text ends with."""

    def __init__(self, text: str) -> None:
        if not check_unicode(text, "a stop string"):
            raise BadInput("a stop string is empty; give at least one character")
        self.text = text
        self.matched = 0
        self._fallback = [0, 0]  # for each matched length, the next shorter prefix that is also a suffix
        length = 0
        for character in text[1:]:
            while length and text[length] != character:
                length = self._fallback[length]
            length += text[length] == character
            self._fallback.append(length)

    def advance(self, character: str) -> bool:
        """Consume one character; True if it completes the stop string."""
        while self.matched and self.text[self.matched] != character:
            self.matched = self._fallback[self.matched]
        self.matched += self.text[self.matched] == character
        return self.matched == len(self.text)
