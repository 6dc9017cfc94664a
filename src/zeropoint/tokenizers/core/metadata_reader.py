"""Typed, bounded access to the `tokenizer.ggml.*` keys of a model file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import repeat
from typing import Any, Protocol

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.core.sanitize import printable

NORMAL, BYTE = 1, 6  # first and last value of tokenizer.ggml.token_type
MAX_BYTES = 1 << 22  # of a precompiled charsmap; T5's has 316 KB
MAX_IDS = 1 << 10  # of a list of special tokens; published ones have at most ten
MAX_TOKENS = 1 << 22  # sixteen times the largest published vocabulary
MAX_FILE_BYTES = 64 << 20  # of a tokenizer.json or tokenizer.model; Gemma's has 33 MB


class HasMetadata(Protocol):
    """The only part of an opened model file that a tokenizer needs."""

    @property
    def metadata(self) -> Mapping[str, Any]: ...


class MetadataReader:
    """Typed access to one file's `tokenizer.ggml.*`. Getters raise BadModelFile naming file and key.

    A key that begins with "zeropoint." is one of ours and has no other prefix.
    """

    def __init__(self, model: HasMetadata) -> None:
        self._metadata = model.metadata
        paths = getattr(model, "paths", None) or [getattr(model, "path", "the model")]
        self._name = str(paths[0])

    def error(self, key: str, problem: str) -> BadModelFile:
        """A BadModelFile that names the file and the key."""
        return BadModelFile(f"{self._name}: {_full(key)}: {printable(problem, 600)}")

    def has(self, key: str) -> bool:
        """Whether the file has the key."""
        return _full(key) in self._metadata

    def _get(self, key: str) -> Any:
        return self._metadata.get(_full(key))

    def general(self, key: str) -> str:
        """The string `general.<key>`, or "" if the file does not have it."""
        value = self._metadata.get(f"general.{key}")
        return value if isinstance(value, str) else ""

    def get_str(self, key: str, default: str | None) -> str:
        """The string `key`, or `default` if the key is absent and there is a default."""
        value = self._get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.error(key, "missing" if value is None else f"must be a string, not {_kind(value)}")
        return value

    def get_bool(self, key: str) -> bool | None:
        """The bool `key`, or None if it is absent."""
        value = self._get(key)
        if value is not None and not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {_kind(value)}")
        return value

    def token_id(self, key: str) -> int | None:
        """The integer `key`, or None if it is absent. Not checked against the vocabulary."""
        value = self._get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.error(key, f"must be an integer, not {_kind(value)}")
        return value

    def token_ids(self, key: str) -> list[int]:
        """A list of at most MAX_IDS integers; empty if the key is absent. Not checked like `token_id`."""
        ids = self._list(key, MAX_IDS) if self.has(key) else []
        if not all(type(index) is int for index in ids):
            raise self.error(key, "must be a list of integers")
        return ids

    def outside(self, key: str, index: int, n_vocab: int) -> BadModelFile:
        """The error for a token id that the vocabulary does not have."""
        return self.error(key, f"{index} is outside the vocabulary of {n_vocab} tokens")

    def get_strings(self, key: str, maximum: int) -> list[str]:
        """A list of at most `maximum` strings of valid Unicode."""
        items = self._list(key, maximum)
        if set(map(type, items)) - {str}:
            raise self.error(key, "must be a list of strings")
        try:
            "\n".join(items).encode()
        except UnicodeEncodeError:
            raise self.error(key, "a string is not valid Unicode") from None
        return items

    def get_pairs(self, key: str, maximum: int) -> list[tuple[str, str]]:
        """A list of at most `maximum` strings, each split at its first space ("" if it has none)."""
        # A GGUF file splits them natively, which is faster; a plain dict cannot.
        native_pairs = getattr(self._metadata, "pairs", None)
        pairs: list[tuple[str, str]] | None = native_pairs(f"tokenizer.ggml.{key}") if native_pairs else None
        if pairs is None or len(pairs) > maximum:
            lines = self.get_strings(key, maximum)
            return [(first, second) for first, _, second in map(str.partition, lines, repeat(" "))]
        return pairs

    def tokens(self) -> tuple[list[str], dict[str, int]]:
        """(tokens by id, all distinct; ids by token)."""
        tokens = self.get_strings("tokens", MAX_TOKENS)
        if len(tokens) < 2:
            raise self.error("tokens", f"a vocabulary needs at least two tokens, not {len(tokens)}")
        ids = dict(zip(tokens, range(len(tokens)), strict=True))
        if len(ids) != len(tokens):
            token, count = Counter(tokens).most_common(1)[0]
            raise self.error("tokens", f"token {token[:40]!r} occurs {count} times")
        return tokens, ids

    def types(self, n_vocab: int) -> bytes:
        """The type of every token, one byte each; all normal if the file does not declare types."""
        if not self.has("token_type"):
            return bytes([NORMAL]) * n_vocab
        types = self._numbers("token_type", n_vocab, int)
        if not set(types) <= set(range(BYTE + 1)):
            raise self.error("token_type", f"{max(types, key=abs)} is not a token type (0 to {BYTE})")
        return bytes(types)

    def scores(self, n_vocab: int) -> list[float]:
        """The score of every token; rejects NaN."""
        scores = self._numbers("scores", n_vocab, float)
        if any(map(math.isnan, scores)):
            raise self.error("scores", "a score is not a number (NaN)")
        return scores

    def bytes(self, key: str) -> bytes:
        """A list of byte values as bytes; empty if the key is absent."""
        values = self._list(key, MAX_BYTES) if self.has(key) else []
        if not all(type(value) is int and -128 <= value < 256 for value in values):
            raise self.error(key, "must be a list of bytes")
        return bytes(value & 0xFF for value in values)  # writers store them signed or unsigned

    def _numbers(self, key: str, n_vocab: int, kind: type) -> list[Any]:
        items = self._list(key, n_vocab)
        if set(map(type, items)) - {kind}:
            raise self.error(key, f"must be a list of {kind.__name__}")
        if len(items) != n_vocab:
            raise self.error(key, f"{len(items)} entries for {n_vocab} tokens")
        return items

    def _list(self, key: str, maximum: int) -> list[Any]:
        value = self._get(key)
        if hasattr(value, "tolist"):
            value = value.tolist()
        if not isinstance(value, (list, tuple)):
            raise self.error(key, "missing" if value is None else f"must be a list, not {_kind(value)}")
        if len(value) > maximum:
            raise self.error(key, f"has {len(value)} entries; it may have at most {maximum}")
        return list(value)


def _full(key: str) -> str:
    return key if key.startswith("zeropoint.") else f"tokenizer.ggml.{key}"


def _kind(value: object) -> str:
    return type(value).__name__
