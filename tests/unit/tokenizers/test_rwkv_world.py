"""RWKV's own vocabulary: the longest byte string at every place."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.tokenizers.core.longest_match import LongestMatch, unescape_bytes
from zeropoint.tokenizers.core.stream import TextStream
from zeropoint.tokenizers.core.tokenizer import Tokenizer
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.to_hf import hf_tokenizer_files

WORDS = [b"\n\n", b"User", b" the", b" the quick", b"ab", b"abcd", b"\xe4\xbd", b"\\n", "é".encode(), b"it's"]
TOKENS = [b"<s>", *(bytes([byte]) for byte in range(256)), *WORDS]
IDS = {token: index for index, token in enumerate(TOKENS)}


def load(**changes: Any) -> Tokenizer:
    metadata = {
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": [repr(token)[2:-1] for token in TOKENS] + ["[PAD267]"],
        "tokenizer.ggml.token_type": [3] + [1] * (len(TOKENS) - 1) + [5],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.eot_token_id": IDS[b"\n\n"],
    }
    return load_tokenizer(SimpleNamespace(metadata=metadata | changes, paths=["w.gguf"]))


def test_the_longest_token_wins() -> None:
    tokenizer = load()
    pieces = {
        "abcde": [b"abcd", b"e"],
        "abcx": [b"ab", b"c", b"x"],
        "a the quick the": [b"a", b" the quick", b" the"],
        "你é\n\n\\n": [b"\xe4\xbd", b"\xa0", "é".encode(), b"\n\n", b"\\n"],
        "it's": [b"it's"],
        "[PAD267]": [bytes([byte]) for byte in b"[PAD267]"],
        "": [],
    }
    for text, expected in pieces.items():
        ids = tokenizer.encode(text)
        assert [TOKENS[index] for index in ids] == expected
        assert tokenizer.decode(ids) == text


def test_only_a_template_gives_control_tokens() -> None:
    tokenizer = load()
    assert tokenizer.encode("<s>") == [IDS[bytes([byte])] for byte in b"<s>"]
    assert tokenizer.encode("a<s>ab", parse_special=True) == [IDS[b"a"], 0, IDS[b"ab"]]
    assert (tokenizer.bos_id, tokenizer.add_bos) == (0, False)
    assert tokenizer.stop_ids == {0, IDS[b"\n\n"]}
    assert tokenizer.control_ids == {0}  # the end of a turn is also text


def test_half_a_character_waits_for_the_rest() -> None:
    stream = TextStream(load())
    assert [stream.push(IDS[b"\xe4\xbd"]), stream.push(IDS[b"\xa0"])] == ["", "你"]


def test_random_texts_come_back() -> None:
    tokenizer, rng = load(), random.Random(0)
    for _ in range(200):
        text = "".join(
            rng.choices([*map(chr, range(1, 128)), " the", " the quick", "abcd", "你", "😀", "\n\n"], k=50)
        )
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert ids == LongestMatch(IDS).encode(text.encode())


def test_long_texts_are_linear() -> None:
    assert len(load().encode(" the" * 50_000)) == 50_000


def test_a_byte_without_a_token_is_named() -> None:
    tokens = [r"\x01\x02", "ab", "c"]
    tokenizer = load(**{"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [1, 1, 1]} | NO_IDS)
    assert tokenizer.encode("abc") == [1, 2]
    with pytest.raises(BadInput, match="no token begins with the byte 0x61"):
        tokenizer.encode("ac")


NO_IDS = {f"tokenizer.ggml.{name}_token_id": 2 for name in ("bos", "eos", "eot")}


def test_a_token_without_bytes_or_with_too_many_is_refused() -> None:
    for token in ("", "a" * 5000):
        changes = {
            "tokenizer.ggml.tokens": [token, "ab", "c"],
            "tokenizer.ggml.token_type": [1, 1, 1],
        } | NO_IDS
        with pytest.raises(
            BadModelFile, match=r"tokenizer\.ggml\.tokens: a token must have 1 to 1,024 bytes"
        ):
            load(**changes)


def test_a_tokenizer_json_cannot_hold_it() -> None:
    with pytest.raises(BadInput, match="cannot express RWKV's tokenizer"):
        hf_tokenizer_files(SimpleNamespace(metadata={}), load(), 64)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (r"\n\t\r", b"\n\t\r"),
        (r"\x00\xff", b"\x00\xff"),
        (r"\\x41", rb"\x41"),
        (r"\'", b"'"),
        ("é", "é".encode()),
    ],
)
def test_escapes(token: str, expected: bytes) -> None:
    assert unescape_bytes(token) == expected
