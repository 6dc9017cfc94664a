"""Malicious vocabularies: each is rejected with one sentence naming file and key, without a Rust panic."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.tokenizers.formats.gguf import Tokenizer, load_tokenizer

ALPHABET = [
    chr(c) for c in (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100), *range(0x100, 0x144))
]
NAN, INF = float("nan"), float("inf")


def byte_level() -> dict[str, Any]:
    tokens = ["<|end|>", *ALPHABET, "he", "ll", "hell"]
    return {"model": "gpt2", "pre": "gpt-2", "tokens": tokens, "token_type": [3] + [1] * (len(tokens) - 1),
            "merges": ["h e", "l l", "he ll"], "eos_token_id": 0}  # fmt: skip


def sentencepiece() -> dict[str, Any]:
    tokens = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{b:02X}>" for b in range(256)),
        "\u2581",
        "a",
        "b",
        "ab",
        "\u2581ab",
    ]
    return {
        "model": "llama",
        "tokens": tokens,
        "scores": [-float(i) for i in range(len(tokens))],
        "token_type": [2, 3, 3] + [6] * 256 + [1] * 5,
        "unknown_token_id": 0,
        "eos_token_id": 2,
    }


def load(fields: dict[str, Any]) -> Tokenizer:
    metadata = {f"tokenizer.ggml.{key}": value for key, value in fields.items()}
    return load_tokenizer(SimpleNamespace(metadata=metadata, paths=["bad.gguf"]))


def change(fields: dict[str, Any], key: str, value: Any) -> None:
    """Set a key, apply a function to it, or delete it (None)."""
    if value is None:
        del fields[key]
    else:
        fields[key] = value(fields[key]) if callable(value) else value


def put(index: int, item: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda items: [*items[:index], item, *items[index + 1 :]]


EITHER = [
    ("model", None), ("model", 3), ("model", "wordpiece"), ("model", "\x1b[2J"), ("model", ["gpt2"]),
    ("tokens", None), ("tokens", []), ("tokens", ["a"]), ("tokens", "ab"), ("tokens", 7), ("tokens", [1, 2]),
    ("tokens", put(5, 3)), ("tokens", put(5, None)), ("tokens", put(5, b"x")), ("tokens", put(5, "\ud800")),
    ("tokens", lambda t: [*t, t[4]]), ("tokens", lambda t: t[:-1]), ("tokens", lambda t: [*t, "\x1b\x07"]),
    ("token_type", []), ("token_type", lambda t: t[:-1]), ("token_type", lambda t: [*t, 1]),
    ("token_type", put(4, 7)), ("token_type", put(4, -1)), ("token_type", put(4, 2**63)),
    ("token_type", put(4, 1.0)), ("token_type", put(4, True)), ("token_type", put(4, "1")),
    ("token_type", "x"), ("token_type", put(-3, 6)),
    ("eos_token_id", -1), ("eos_token_id", 10**6), ("eos_token_id", 2**32 - 1), ("eos_token_id", 2**64),
    ("eos_token_id", 1.0), ("eos_token_id", True), ("eos_token_id", "0"), ("eos_token_id", [0]),
    ("unknown_token_id", 1.0), ("padding_token_id", "1"), ("eot_token_id", [1]), ("eom_token_id", NAN),
    ("add_bos_token", 1), ("add_bos_token", "true"), ("add_space_prefix", 0),
    ("merges", ["a"]), ("merges", [""]), ("merges", [" "]), ("merges", ["a "]), ("merges", [" a"]),
    ("merges", ["a b c"]), ("merges", ["a nothing"]), ("merges", ["nothing a"]), ("merges", ["z z"]),
    ("merges", [1]), ("merges", [None]), ("merges", "a b"), ("merges", {"a": "b"}), ("merges", ["a\ud800 b"]),
    ("merges", ["a b"] * 100_000),
]  # fmt: skip
GPT2 = [
    ("pre", 3), ("pre", "unknown"), ("pre", "(a+)+$"), ("pre", "\x1b[0m" * 1000), ("merges", None),
    ("tokens", put(0, "x" * 500)),
]  # fmt: skip
LLAMA = [
    ("bos_token_id", 99999),
    ("scores", None), ("scores", []), ("scores", lambda s: s[:-1]), ("scores", lambda s: [*s, 0.0]),
    ("scores", put(3, NAN)), ("scores", put(3, 1)), ("scores", put(3, "1")), ("scores", put(3, True)),
    ("scores", b"\x00" * 264), ("tokens", put(5, "<0x-1>")), ("tokens", put(5, "<0xZZ>")),
    ("tokens", put(5, "<0x1FF>")), ("tokens", put(5, "<0x>")), ("tokens", put(5, "<0x0a>")),
    ("tokens", put(5, "<0x03>")), ("tokens", put(5, "byte")),
]  # fmt: skip
CASES = (
    [(byte_level, *case) for case in EITHER + GPT2] + [(sentencepiece, *case) for case in EITHER + LLAMA]
)  # fmt: skip


@pytest.mark.parametrize(("make", "key", "value"), CASES)
def test_invalid_metadata_is_rejected(make: Any, key: str, value: Any, capfd: Any) -> None:
    fields = make()
    change(fields, key, value)
    with pytest.raises(BadModelFile) as error:
        load(fields)
    message = str(error.value)
    assert message.startswith("bad.gguf: tokenizer.ggml.")
    assert message.isprintable()
    assert len(message) < 800
    assert capfd.readouterr().err == ""  # where Rust reports panics


@pytest.mark.parametrize(
    "merge", ["a b c", "a nothing", "nothing a", " a", "a ", "z z", "<|e nd|>", "<0x0 A>"]
)
@pytest.mark.parametrize(("make", "valid"), [(byte_level, "h e"), (sentencepiece, "a b")])
def test_the_error_names_the_invalid_merge(make: Any, valid: str, merge: str) -> None:
    """Whether the library rejects it, or it would produce a control or byte token."""
    fields = make()
    change(fields, "merges", [valid, merge])
    with pytest.raises(BadModelFile) as error:
        load(fields)
    expected = f"tokenizer.ggml.merges: merge 1 ({merge!r}) must join two tokens into a third"
    assert expected in str(error.value)


@pytest.mark.parametrize("key", ["unknown", "padding", "eot", "eom", "mask"])
@pytest.mark.parametrize("make", [byte_level, sentencepiece])
@pytest.mark.parametrize("value", [-1, 99999, 2**32 - 1])
def test_an_id_outside_the_vocabulary_is_ignored_if_the_token_is_not_needed(
    make: Any, key: str, value: int
) -> None:
    tokenizer = load(make() | {f"{key}_token_id": value})
    known = {"unknown", "padding", "eot", "eom"}
    expected = (
        f"bad.gguf: tokenizer.ggml.{key}_token_id: {value} is outside the vocabulary of {tokenizer.n_vocab} "
        "tokens; it is ignored"
    )
    assert tokenizer.notices == ((expected,) if key in known else ())
    assert tokenizer.decode(tokenizer.encode("hello")) == "hello"


def test_a_merge_longer_than_every_token_prints_no_panic(capfd: Any) -> None:
    fields = byte_level()
    fields["merges"] = [*fields["merges"], "hell hell"]
    with pytest.raises(BadModelFile, match=r"merge 3 \('hell hell'\) must join two tokens into a third"):
        load(fields)
    assert capfd.readouterr().err == ""


def test_an_invalid_character_map_prints_no_panic(capfd: Any) -> None:
    draw = random.Random(0)
    tokens = ["<pad>", "</s>", "<unk>", "\u2581", "a"]
    fields = {"model": "t5", "tokens": tokens, "scores": [-1.0] * 5, "token_type": [3, 3, 2, 1, 1],
              "unknown_token_id": 2}  # fmt: skip
    for length in [0, 3, 4, 16, 64, 1030] * 5:
        header = draw.choice([length, 4, 0, 2**31]).to_bytes(4, "little")
        fields["precompiled_charsmap"] = list(header + draw.randbytes(length))
        with contextlib.suppress(BadInput):  # BadModelFile is one
            load(fields).encode("a \u00e9 \ufb01 \u00bd")
    assert capfd.readouterr().err == ""


def test_control_characters_are_escaped_in_errors() -> None:
    fields = byte_level()
    change(fields, "tokens", put(-2, "\x1b[2J\u202e"))
    change(fields, "token_type", put(-2, 6))
    with pytest.raises(BadModelFile, match=r"\\x1b\[2J\\u202e"):
        load(fields)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("merges", []),
        ("merges", lambda merges: merges[:2] * 3),
        ("token_type", put(5, 3)),  # a single letter marked as control still occurs in text
        ("token_type", lambda types: [3] * len(types)),
        ("token_type", lambda types: [0] * len(types)),
        ("tokens", put(0, "\x00\x1b")),
        ("tokens", put(0, "e" + "\u0301" * 50)),
        ("tokens", put(0, "")),
    ],
)
def test_unusual_but_valid_metadata_is_accepted(key: str, value: Any) -> None:
    fields = byte_level()
    change(fields, key, value)
    tokenizer = load(fields)
    for text in ("hello", "<|end|>", "é\x00\n ", ""):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert not tokenizer.control_ids & set(tokenizer.encode(text))
        assert tokenizer.decode(tokenizer.encode(text, parse_special=True)) == text


@pytest.mark.parametrize("score", [INF, -INF, 0.0, 1e308])
def test_unusual_scores_are_accepted(score: float) -> None:
    fields = sentencepiece()
    fields["scores"] = [score] * len(fields["scores"])
    tokenizer = load(fields)
    assert tokenizer.decode(tokenizer.encode("ab ab\x00é😀")) == "ab ab\x00é😀"


def test_a_vocabulary_without_byte_tokens_is_accepted() -> None:
    fields = sentencepiece()
    for key in ("tokens", "scores", "token_type"):
        fields[key] = fields[key][:3] + fields[key][-5:]
    tokenizer = load(fields)
    assert tokenizer.encode("ab?") == [7, 0]


@pytest.mark.heavy
@pytest.mark.parametrize("make", [byte_level, sentencepiece])
@pytest.mark.parametrize(
    "text",
    ["a" * 1_000_000, "e" + "\u0301" * 300_000, " " * 500_000, "\n" * 300_000, "1" * 300_000,
     "\u202e" * 100_000, "\x00" * 100_000, "<|end|>" * 20_000, "ab " * 100_000, " a" * 100_000,
     "'" * 200_000],
    ids=lambda text: ascii(text[:3]),
)  # fmt: skip
def test_long_text_round_trips(make: Any, text: str) -> None:
    tokenizer = load(make())
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", None, b"a", 3, ["a"]])
def test_invalid_text_is_rejected(text: Any) -> None:
    tokenizer = load(byte_level())
    for call in (tokenizer.encode, tokenizer.control_spans):
        with pytest.raises(BadInput, match="the text"):
            call(text)


def test_a_token_of_megabytes_loads_in_bounded_time_and_memory() -> None:
    run_with_limited_memory(
        "fields = t.sentencepiece()\n"
        "for key, item in (('tokens', 'b' * 2_000_000), ('scores', 0.0), ('token_type', 1)):\n"
        "    fields[key].append(item)\n"
        "k = t.load(fields); assert k.decode(k.encode('ab')) == 'ab'",
        seconds=60,
    )


@pytest.mark.heavy
def test_ten_million_letters_encode_in_bounded_time_and_memory() -> None:
    run_with_limited_memory(
        "k = t.load(t.byte_level()); assert len(k.encode('a' * 10_000_000)) == 10_000_000", seconds=240
    )


def run_with_limited_memory(code: str, seconds: int) -> None:
    """Run code in a process limited to 3 GiB, with this file imported as `t`."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{limit}import test_tokenizers as t\n{code}"],
        cwd=__file__.rsplit("/", 1)[0],
        timeout=seconds,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
