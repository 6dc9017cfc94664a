r"""RWKV's World tokenizer: at every place of a text, take the longest token that it begins with.

Tokens are byte strings, so a token may hold part of a character. GGUF stores them with Python's escapes
(`\n`, `\xe4`), as llama.cpp reads them. Reference: https://github.com/BlinkDL/RWKV-LM, rwkv_vocab_v20230424.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["LongestMatch", "unescape_bytes"]

MAX_TOKEN_BYTES = 1 << 10  # the longest published one has 128
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))|[^\\]+|\\", re.DOTALL)
_NAMED = {"n": b"\n", "t": b"\t", "r": b"\r"}


def unescape_bytes(token: str) -> bytes:
    """The bytes that an escaped token stands for."""
    parts = []
    for match in _ESCAPE.finditer(token):
        code, character = match.groups()
        if code is not None:
            parts.append(bytes([int(code, 16)]))
        elif character is not None:
            parts.append(_NAMED.get(character, character.encode()))
        else:
            parts.append(match[0].encode())
    return b"".join(parts)


class LongestMatch:
    """Encodes bytes with a vocabulary of byte strings, none of them empty or above MAX_TOKEN_BYTES."""

    def __init__(self, ids: Mapping[bytes, int]) -> None:
        self._ids = ids
        lengths: dict[bytes, set[int]] = {}  # of the tokens that begin with the same two bytes
        for token in ids:
            lengths.setdefault(token[:2], set()).add(len(token))
        self._lengths = {start: sorted(found, reverse=True) for start, found in lengths.items()}

    def encode(self, data: bytes) -> list[int]:
        """Token ids. Raises ValueError naming a byte with which no token begins."""
        ids, find, lengths = [], self._ids.get, self._lengths
        at, end = 0, len(data)
        while at < end:
            for length in lengths.get(data[at : at + 2], ()):
                if (index := find(data[at : at + length])) is not None and at + length <= end:
                    break
            else:
                length, index = 1, find(data[at : at + 1])
                if index is None:
                    raise ValueError(f"no token begins with the byte 0x{data[at]:02x}")
            ids.append(index)
            at += length
        return ids
