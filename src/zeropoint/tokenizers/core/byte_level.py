"""GPT-2's byte-level alphabet: every byte is written as one printable character."""

from __future__ import annotations

import functools

__all__ = ["bytes_to_unicode", "decode_byte_level", "encode_byte_level"]


@functools.cache
def bytes_to_unicode() -> dict[int, str]:
    """{byte: character}, in the order of GPT-2's ids: printable Latin-1 is itself, the rest U+0100 onward."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


@functools.cache
def _unicode_to_bytes() -> dict[str, int]:
    return {character: byte for byte, character in bytes_to_unicode().items()}


def encode_byte_level(data: bytes) -> list[str]:
    """One character of the alphabet per byte."""
    alphabet = bytes_to_unicode()
    return [alphabet[byte] for byte in data]


def decode_byte_level(token: str) -> bytes:
    """The bytes that a token stands for; a token with other characters stands for its own UTF-8."""
    byte_of = _unicode_to_bytes()
    try:
        return bytes(byte_of[character] for character in token)
    except KeyError:
        return token.encode()
