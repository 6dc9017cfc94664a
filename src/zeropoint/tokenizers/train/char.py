"""The character tokenizer: every distinct character of the training text is a token, in sorted order.

As in Karpathy's "Let's build GPT" and char-rnn: the simplest tokenizer, suitable for a model of one book.
Characters outside the training text cannot be encoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.json_text import read_json
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.character_vocab import character_metadata, check_characters
from zeropoint.tokenizers.core.metadata_reader import MAX_FILE_BYTES
from zeropoint.tokenizers.core.sanitize import check_unicode
from zeropoint.tokenizers.formats.gguf import Tokenizer, load_tokenizer

__all__ = ["END_CHARACTER", "CharTokenizer", "train_char"]

KIND = "zeropoint.char"
END_CHARACTER = "\x03"  # ASCII's "end of text", the end token of corpora whose documents have one


@frozen
class CharTokenizer:
    """A character vocabulary. characters: by id, from 0 to n_vocab - 1."""

    characters: tuple[str, ...]

    @property
    def n_vocab(self) -> int:
        """Number of tokens."""
        return len(self.characters)

    @property
    def end_id(self) -> int | None:
        """The id of END_CHARACTER, or None if the vocabulary lacks it."""
        return self.characters.index(END_CHARACTER) if END_CHARACTER in self.characters else None

    def encode(self, text: str) -> list[int]:
        """One id per character. Raises BadInput naming the first unknown character."""
        check_characters(text, self.characters)
        ids = {character: index for index, character in enumerate(self.characters)}
        return [ids[character] for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`. Raises BadInput on an id outside the vocabulary."""
        decoded = []
        for index in ids:
            if not 0 <= index < self.n_vocab:
                raise BadInput(f"token id {index} is outside the vocabulary of {self.n_vocab} tokens")
            decoded.append(self.characters[index])
        return "".join(decoded)

    def metadata(self) -> dict[str, Any]:
        """The `tokenizer.*` keys for a GGUF file; END_CHARACTER is EOS."""
        end = {} if self.end_id is None else {"tokenizer.ggml.eos_token_id": self.end_id}
        return character_metadata(self.characters) | end

    def tokenizer(self, name: str = "the characters of the text") -> Tokenizer:
        """The fast tokenizer for this vocabulary, the same class that a model file yields."""
        return load_tokenizer(SimpleNamespace(metadata=self.metadata(), paths=[name]))

    def save(self, path: Path) -> None:
        """Write the JSON file that `load` reads. Raises BadInput, DiskError."""
        replace_file(path, self.content())

    def content(self) -> bytes:
        """The content of the file that `save` writes."""
        content = {"kind": KIND, "characters": "".join(self.characters)}
        return json.dumps(content, ensure_ascii=False).encode()

    @classmethod
    def load(cls, path: Path) -> CharTokenizer:
        """Read a file written by `save`. Raises BadModelFile naming the file and the problem."""
        try:
            content = read_json(path, MAX_FILE_BYTES)
            if not isinstance(content, dict) or content.get("kind") != KIND:
                raise ValueError(f"`kind` must be {KIND!r}")
            characters = check_unicode(content.get("characters"), "`characters`")
            if len(set(characters)) != len(characters) or not characters:
                raise ValueError("`characters` must be at least one character, without duplicates")
        except (OSError, ValueError, BadInput) as failure:
            raise BadModelFile(f"{path} is not a character tokenizer: {failure}") from None
        return cls(tuple(characters))


def train_char(text: str) -> CharTokenizer:
    """A vocabulary of the distinct characters of `text`, sorted by code point. Raises BadInput if empty."""
    if not check_unicode(text):
        raise BadInput("a tokenizer cannot be trained on an empty text; give at least one character")
    return CharTokenizer(tuple(sorted(set(text))))
