"""The vocabularies that GGUF names "rwkv": single characters, on Hugging Face `tokenizers`, and RWKV's own.

`core/character_vocab.py` and `core/longest_match.py` describe them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.added_token_finder import AddedTokenFinder
from zeropoint.tokenizers.core.added_tokens import token_scanner
from zeropoint.tokenizers.core.longest_match import LongestMatch, unescape_bytes
from zeropoint.tokenizers.core.tokenizer import Encoders
from zeropoint.tokenizers.core.vocabulary import CONTROL, UNKNOWN, UNUSED, Vocabulary, ids_of_types
from zeropoint.tokenizers.formats.hf_pipeline import steps_of
from zeropoint.tokenizers.formats.json_field import JsonField

__all__ = ["character_encoders", "has_only_characters", "world_encoders"]

_ANY_CHARACTER = r"[\s\S]"


def character_encoders(vocabulary: Vocabulary) -> Encoders:
    """Build the encoders. They raise on a character outside the vocabulary and never substitute one."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    ids = {character: index for index, character in enumerate(vocabulary.tokens)}
    encoder = Tokenizer(models.WordLevel(ids, unk_token=""))
    encoder.pre_tokenizer = pre_tokenizers.Split(Regex(_ANY_CHARACTER), behavior="isolated")
    return Encoders(encoder, encoder, encoder, token_scanner(vocabulary), alphabet=frozenset(ids))


def world_encoders(vocabulary: Vocabulary) -> Encoders:
    """Build the encoders of RWKV's own vocabulary, without the library."""
    hidden = set(ids_of_types(vocabulary.types, {CONTROL, UNKNOWN, UNUSED}))
    match = LongestMatch({unescape_bytes(t): i for i, t in enumerate(vocabulary.tokens) if i not in hidden})
    scanner = token_scanner(vocabulary)
    plain: Any = _WorldEncoder(match)
    special: Any = _WorldEncoder(match, AddedTokenFinder(vocabulary, scanner))
    return Encoders(plain, special, plain, scanner, spans_words=True)


class _WorldEncoder:
    """What `Tokenizer` calls of the library's tokenizers. finder: finds the control tokens."""

    def __init__(self, match: LongestMatch, finder: AddedTokenFinder | None = None) -> None:
        self._match, self._finder = match, finder

    def encode(self, text: str, add_special_tokens: bool) -> _Encoding:
        """The ids of a text. Raises ValueError for a byte that the vocabulary lacks."""
        ids, start = [], 0
        for begin, end, index in self._finder.spans(text) if self._finder is not None else ():
            ids += [*self._match.encode(text[start:begin].encode()), index]
            start = end
        return _Encoding(ids + self._match.encode(text[start:].encode()))


@frozen
class _Encoding:
    """The ids of a text, in the attribute that the library has."""

    ids: list[int]


def has_only_characters(content: JsonField, tokens: Sequence[str]) -> bool:
    """Whether a tokenizer.json with a WordLevel model splits at every character."""
    steps = list(steps_of(content["pre_tokenizer"], "pretokenizers"))
    pattern = steps[0]["pattern"].value if len(steps) == 1 else None
    return pattern == {"Regex": _ANY_CHARACTER} and all(len(token) == 1 for token in tokens)
