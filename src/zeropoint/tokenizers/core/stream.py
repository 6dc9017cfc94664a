"""Text from tokens as they come: whole characters only, and never past a stop string.

A token may hold part of a character, so bytes wait until their character is whole or can no longer
become so (then it is U+FFFD, as in `Tokenizer.decode`). Text that may be the start of a stop string
waits too. The work per character is constant: one Knuth-Morris-Pratt state a stop string.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from zeropoint.errors import BadInput
from zeropoint.tokenizers.core.sanitize import check_unicode
from zeropoint.tokenizers.core.tokenizer import Tokenizer


class TextStream:
    """Feeds on token ids, gives text; all of it together is `Tokenizer.decode` of all the ids.

    stop: strings that end the text and are not part of it. skip_special, inside: as in `decode`.
    stopped: whether a stop string was met; after that every push gives "".
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop: Sequence[str] = (),
        *,
        skip_special: bool = False,
        inside: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._drop_space = tokenizer.space_prefix and not inside
        self._stops = [_Stop(text) for text in ([stop] if isinstance(stop, str) else stop)]
        self._held = ""
        self.stopped = False

    def push(self, index: int) -> str:
        """The text that this token completes. Raises BadInput on an id outside the vocabulary."""
        spelled = self._tokenizer.token_bytes(index)
        if self.stopped or (self._skip_special and index in self._tokenizer.control_ids):
            return ""
        return self._release(self._decoder.decode(spelled))

    def finish(self) -> str:
        """The text still held back, once no more tokens come."""
        if self.stopped:
            return ""
        text = self._release(self._decoder.decode(b"", True))
        held, self._held = self._held, ""
        return text + held

    def _release(self, text: str) -> str:
        """Take new text in and give out what can no longer be part of a stop string."""
        if self._drop_space and text:
            self._drop_space = False
            text = text.removeprefix(" ")
        if not self._stops:
            return text
        known = len(self._held)
        self._held += text
        for end, character in enumerate(text, known + 1):
            met = [len(stop.text) for stop in self._stops if stop.advance(character)]
            if met:
                given, self._held, self.stopped = self._held[: end - max(met)], "", True
                return given
        kept = max(stop.matched for stop in self._stops)
        given, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        return given


class _Stop:
    """How much of one stop string the text so far ends with."""

    def __init__(self, text: str) -> None:
        if not check_unicode(text, "a stop string"):
            raise BadInput("a stop string is empty; give at least one character")
        self.text = text
        self.matched = 0
        self._shorter = [0, 0]  # for each length matched, the next shorter match that it also ends with
        length = 0
        for character in text[1:]:
            while length and text[length] != character:
                length = self._shorter[length]
            length += text[length] == character
            self._shorter.append(length)

    def advance(self, character: str) -> bool:
        """Take one character; True when the whole stop string has been met."""
        while self.matched and self.text[self.matched] != character:
            self.matched = self._shorter[self.matched]
        self.matched += self.text[self.matched] == character
        return self.matched == len(self.text)
