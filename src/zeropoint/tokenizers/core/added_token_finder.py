"""Find added tokens in a text without encoding it, for the code that keeps messages and templates apart."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from zeropoint.tokenizers.core.added_tokens import no_flags, token_scanner
from zeropoint.tokenizers.core.vocabulary import Vocabulary

if TYPE_CHECKING:
    import tokenizers

__all__ = ["AddedTokenFinder", "Span"]

Span = tuple[int, int, int]  # start, end, id


class AddedTokenFinder:
    """Finds the added tokens of a vocabulary. scanner: finds those that the encoders find."""

    def __init__(self, vocabulary: Vocabulary, scanner: tokenizers.Tokenizer) -> None:
        self._vocabulary = vocabulary
        self._scanner = scanner

    def spans(self, text: str) -> list[Span]:
        """Every added token that encoding finds, with the white space that it swallows."""
        return self._scan(self._scanner, text)

    def interiors(self, text: str, ids: Collection[int]) -> set[int]:
        """A position within each of the tokens `ids` in the text, where an inserted character breaks it.

        Includes tokens that encoding finds only in another context, such as at the start of a text.
        """
        spans = self.spans(text)
        if self._scanner_by_spelling is not None:
            spans += self._scan(self._scanner_by_spelling, text)
        positions = set()
        for start, end, index in spans:
            token = text.find(self._vocabulary.tokens[index], start, end)
            if token < 0:  # normalized text spells it
                token = end - len(text[start:end].lstrip())
            positions |= {token + 1} if index in ids else set()
        return positions

    def _scan(self, scanner: tokenizers.Tokenizer, text: str) -> list[Span]:
        matches = scanner.encode(text, add_special_tokens=False)
        found = zip(matches.offsets, matches.ids, strict=True)
        ids = self._ids
        return [(start, end, ids[index]) for (start, end), index in found if index in ids]

    @functools.cached_property
    def _ids(self) -> dict[int, int]:
        """The vocabulary's id of each token by the scanner's."""
        scanned = self._scanner.get_added_tokens_decoder().items()
        return {index: self._vocabulary.ids[token.content] for index, token in scanned}

    @functools.cached_property
    def _scanner_by_spelling(self) -> tokenizers.Tokenizer | None:
        """A scanner that ignores flags, or None if they do not decide whether a token is found."""
        if not self._vocabulary.flags["single_word"] | self._vocabulary.flags["normalized"]:
            return None
        return token_scanner(replace(self._vocabulary, flags=no_flags()))
