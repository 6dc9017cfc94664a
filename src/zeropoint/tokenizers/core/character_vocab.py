r"""One token a character, as `tokenizer.ggml.model` = "rwkv" of a GGUF file: literal text, no special token.

RWKV's kind of vocabulary is a list of texts, of which the longest that fits is taken; with single characters
that is the character tokenizer (`char.py`). It is the one kind that llama.cpp reads without a begin and an
end token: `llama` and `gpt2` have ids for both by default, so that a text would end at its first "!".
A token is written with Python's escapes (`\n`, `\\`, `\x00`), as llama.cpp reads it. Vocabularies of longer
tokens, RWKV's own among them, are refused: their tokens may be parts of characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.tokenizers.core.sanitize import check_unicode

if TYPE_CHECKING:
    from zeropoint.tokenizers.core.tokenizer import Encoders
    from zeropoint.tokenizers.core.vocabulary import Vocabulary

__all__ = [
    "character_encoders",
    "character_metadata",
    "characters_of",
    "check_characters",
    "wordlevel_metadata",
]

_ESCAPED = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_MEANT = {text: character for character, text in _ESCAPED.items()}
_TOKEN = re.compile(r"\\[\\ntr]|\\x[0-7][0-9a-fA-F]|[^\\]", re.DOTALL)
_EVERY_CHARACTER = r"[\s\S]"


def character_metadata(characters: Sequence[str]) -> dict[str, Any]:
    """The `tokenizer.ggml.*` keys of these tokens, by id."""
    return {
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": [_escape(character) for character in characters],
        "tokenizer.ggml.token_type": [1] * len(characters),
        # Here a character that is not among them is refused; llama.cpp would end the process without this.
        "tokenizer.ggml.unknown_token_id": list(characters).index(" ") if " " in characters else 0,
    }


def characters_of(tokens: Iterable[str]) -> list[str]:
    """What the tokens of a file stand for. Raises ValueError for one that is no single character."""
    found: list[str] = []
    for token in tokens:
        if not _TOKEN.fullmatch(token):
            raise ValueError(
                f"token {len(found)} is {token[:20]!r}; an rwkv vocabulary is read only where every token is "
                "one character"
            )
        found.append(_MEANT.get(token) or (chr(int(token[2:], 16)) if len(token) > 1 else token))
    return found


def character_encoders(vocabulary: Vocabulary) -> Encoders:
    """The library's objects. They raise on a character that is not among these; nothing becomes another."""
    from tokenizers import Regex, models, pre_tokenizers
    from tokenizers import Tokenizer as Library

    from zeropoint.tokenizers.core.added_tokens import scanner
    from zeropoint.tokenizers.core.tokenizer import Encoders

    ids = {character: index for index, character in enumerate(vocabulary.tokens)}
    made = Library(models.WordLevel(ids, unk_token=""))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(_EVERY_CHARACTER), behavior="isolated")
    return Encoders(made, made, made, scanner((), ()), alphabet=frozenset(ids))


def check_characters(text: str, alphabet: Iterable[str]) -> None:
    """Raises BadInput naming the first character of `text` that is not in the alphabet; for bad Unicode."""
    known = frozenset(alphabet)
    if not set(check_unicode(text)) <= known:
        at, character = next((i, c) for i, c in enumerate(text) if c not in known)
        raise BadInput(
            f"the character {character!r} (U+{ord(character):04X}) at position {at} is not among the "
            f"{len(known)} of this tokenizer; train it on a text that has it"
        )


def wordlevel_metadata(
    tokens: Sequence[str], words: Sequence[Mapping[str, Any]], name: str
) -> dict[str, Any]:
    """The keys of a tokenizer.json that cuts at every character. words: its pre-tokenizer's steps.

    Raises BadModelFile for any other WordLevel model.
    """
    pattern = words[0].get("pattern") if len(words) == 1 and words[0].get("type") == "Split" else None
    if pattern != {"Regex": _EVERY_CHARACTER} or any(len(token) != 1 for token in tokens):
        raise BadModelFile(f"{name}: a WordLevel model has a form in GGUF only where a token is a character")
    return character_metadata(tokens)


def _escape(character: str) -> str:
    is_control = character < " " or character == "\x7f"
    return _ESCAPED.get(character) or (f"\\x{ord(character):02x}" if is_control else character)
