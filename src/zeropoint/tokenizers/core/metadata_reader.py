"""Typed access to the `tokenizer.ggml.*` keys of an opened model file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import repeat
from typing import Any, Protocol

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.core.sanitize import printable

NORMAL, BYTE = 1, 6  # the first and the last of tokenizer.ggml.token_type in use
MAX_BYTES = 1 << 22  # of a table of characters; T5's has 316 KB
MAX_TOKENS = 1 << 22  # sixteen times the largest vocabulary in use


class HasMetadata(Protocol):
    """What a tokenizer needs of an opened model file: its metadata."""

    @property
    def metadata(self) -> Mapping[str, Any]: ...


class MetadataReader:
    """Typed access to one file's `tokenizer.ggml.*`."""

    def __init__(self, model: HasMetadata) -> None:
        self._metadata = model.metadata
        paths = getattr(model, "paths", None) or [getattr(model, "path", "the model")]
        self._name = str(paths[0])

    def bad(self, key: str, problem: str) -> BadModelFile:
        """An error that names the file and `tokenizer.ggml.<key>`."""
        return BadModelFile(f"{self._name}: tokenizer.ggml.{key}: {printable(problem, 600)}")

    def has(self, key: str) -> bool:
        """Whether the file has the key."""
        return f"tokenizer.ggml.{key}" in self._metadata

    def _get(self, key: str) -> Any:
        return self._metadata.get(f"tokenizer.ggml.{key}")

    def text(self, key: str, default: str | None) -> str:
        """A string; `default` where it is absent, if there is one."""
        value = self._get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.bad(key, "missing" if value is None else f"a string is needed, not {_kind(value)}")
        return value

    def flag(self, key: str) -> bool | None:
        """True, false, or None where it is absent."""
        value = self._get(key)
        if value is not None and not isinstance(value, bool):
            raise self.bad(key, f"true or false is needed, not {_kind(value)}")
        return value

    def token_id(self, key: str, n_vocab: int) -> int | None:
        """An id within the vocabulary, or None where it is absent."""
        value = self._get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.bad(key, f"an integer is needed, not {_kind(value)}")
        if not 0 <= value < n_vocab:
            raise self.bad(key, f"{value} is outside the vocabulary of {n_vocab} tokens")
        return value

    def strings(self, key: str, maximum: int) -> list[str]:
        """A list of at most `maximum` strings of valid Unicode."""
        items = self._list(key, maximum)
        if set(map(type, items)) - {str}:
            raise self.bad(key, "a list of strings is needed")
        try:
            "\n".join(items).encode()
        except UnicodeEncodeError:
            raise self.bad(key, "a string is not valid Unicode") from None
        return items

    def pairs(self, key: str, maximum: int) -> list[tuple[str, str]]:
        """A list of at most `maximum` texts of two words, each as a pair: "" where the second is missing."""
        # An opened file cuts them itself, which is quicker; a dict does not.
        cut = getattr(self._metadata, "pairs", None)
        found: list[tuple[str, str]] | None = cut(f"tokenizer.ggml.{key}") if cut else None
        if found is None or len(found) > maximum:
            lines = self.strings(key, maximum)
            return [(first, second) for first, _, second in map(str.partition, lines, repeat(" "))]
        return found

    def tokens(self) -> tuple[list[str], dict[str, int]]:
        """The tokens by id, all different, and the way back."""
        tokens = self.strings("tokens", MAX_TOKENS)
        if len(tokens) < 2:
            raise self.bad("tokens", f"{len(tokens)} tokens are no vocabulary")
        ids = dict(zip(tokens, range(len(tokens)), strict=True))
        if len(ids) != len(tokens):
            token, count = Counter(tokens).most_common(1)[0]
            raise self.bad("tokens", f"token {token[:40]!r} is there {count} times")
        return tokens, ids

    def types(self, n_vocab: int) -> bytes:
        """The type of every token, a byte each; all normal where the file has none."""
        if not self.has("token_type"):
            return bytes([NORMAL]) * n_vocab
        types = self._numbers("token_type", n_vocab, int)
        if not set(types) <= set(range(BYTE + 1)):
            raise self.bad("token_type", f"{max(types, key=abs)} is no token type (0 to {BYTE})")
        return bytes(types)

    def scores(self, n_vocab: int) -> list[float]:
        """The score of every token, none of them NaN."""
        scores = self._numbers("scores", n_vocab, float)
        if any(map(math.isnan, scores)):
            raise self.bad("scores", "a score is not a number (NaN)")
        return scores

    def bytes(self, key: str) -> bytes:
        """A list of numbers from 0 to 255 as bytes; none where it is absent."""
        values = self._list(key, MAX_BYTES) if self.has(key) else []
        if not all(type(value) is int and -128 <= value < 256 for value in values):
            raise self.bad(key, "a list of bytes is needed")
        return bytes(value & 0xFF for value in values)  # signed or not, as writers differ

    def _numbers(self, key: str, n_vocab: int, kind: type) -> list[Any]:
        items = self._list(key, n_vocab)
        if set(map(type, items)) - {kind}:
            raise self.bad(key, f"a list of {kind.__name__} is needed")
        if len(items) != n_vocab:
            raise self.bad(key, f"{len(items)} entries for {n_vocab} tokens")
        return items

    def _list(self, key: str, maximum: int) -> list[Any]:
        value = self._get(key)
        if hasattr(value, "tolist"):
            value = value.tolist()
        if not isinstance(value, (list, tuple)):
            raise self.bad(key, "missing" if value is None else f"a list is needed, not {_kind(value)}")
        if len(value) > maximum:
            raise self.bad(key, f"{len(value)} entries where at most {maximum} make sense")
        return list(value)


def _kind(value: object) -> str:
    return type(value).__name__
