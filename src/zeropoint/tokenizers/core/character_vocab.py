r"""Character vocabularies: one token per character, stored as `tokenizer.ggml.model` = "rwkv" in GGUF.

RWKV's vocabulary is a list of literal strings matched longest first; with single characters this is exactly a
character tokenizer (`train/char.py`). It is also the only kind that llama.cpp reads without BOS and EOS
tokens: for `llama` and `gpt2` it assumes default ids, so a text would end at its first "!". Tokens use
Python's escapes (`\n`, `\\`, `\x00`), as llama.cpp reads them. `longest_match.py` is for longer tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from zeropoint.errors import BadInput
from zeropoint.tokenizers.core.sanitize import check_unicode

__all__ = ["character_metadata", "check_characters", "is_character", "unescape_tokens"]

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_UNESCAPED = {text: character for character, text in _ESCAPES.items()}
_TOKEN = re.compile(r"\\[\\ntr]|\\x[0-7][0-9a-fA-F]|[^\\]", re.DOTALL)


def character_metadata(characters: Sequence[str]) -> dict[str, Any]:
    """The `tokenizer.ggml.*` keys for these characters, in the order of their ids."""
    return {
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": [_escape(character) for character in characters],
        "tokenizer.ggml.token_type": [1] * len(characters),
        # We reject unknown characters; llama.cpp aborts the process on one unless this key is set.
        "tokenizer.ggml.unknown_token_id": list(characters).index(" ") if " " in characters else 0,
    }


def is_character(token: str) -> bool:
    """Whether an escaped token of a file stands for one character."""
    return _TOKEN.fullmatch(token) is not None


def unescape_tokens(tokens: Iterable[str]) -> list[str]:
    """The characters that a file's escaped tokens stand for."""
    return [
        _UNESCAPED.get(token) or (chr(int(token[2:], 16)) if len(token) > 1 else token) for token in tokens
    ]


def check_characters(text: str, alphabet: Iterable[str]) -> None:
    """Raise BadInput naming the first character of `text` outside the alphabet, or on invalid Unicode."""
    known = frozenset(alphabet)
    if not set(check_unicode(text)) <= known:
        at, character = next((i, c) for i, c in enumerate(text) if c not in known)
        raise BadInput(
            f"the character {character!r} (U+{ord(character):04X}) at position {at} is not among this "
            f"tokenizer's {len(known)} characters; train a tokenizer on text that contains it"
        )


def _escape(character: str) -> str:
    is_control = character < " " or character == "\x7f"
    return _ESCAPES.get(character) or (f"\\x{ord(character):02x}" if is_control else character)
