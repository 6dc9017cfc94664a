"""GGUF vocabularies for tests, tiny ones and real ones, and varied lines to encode.

Shared helpers are fixtures, so that they work with every pytest import mode.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zeropoint.tokenizers.formats.gguf import Tokenizer, load_tokenizer

PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]
# GPT-2's byte-level alphabet, restated so that tests do not depend on core/byte_level.py.
ALPHABET = {b: chr(b) for b in PRINTABLE} | {b: chr(256 + i) for i, b in enumerate(OTHERS)}
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|eot_id|>"]
SCRIPTS = {
    "latin": (0x41, 0x24F), "greek": (0x370, 0x3FF), "cyrillic": (0x400, 0x4FF), "hebrew": (0x5D0, 0x5EA),
    "arabic": (0x620, 0x64A), "devanagari": (0x905, 0x94D), "bengali": (0x985, 0x9CD), "thai": (0xE01, 0xE4E),
    "georgian": (0x10D0, 0x10FF), "ethiopic": (0x1200, 0x137C), "khmer": (0x1780, 0x17D3),
    "kana": (0x3041, 0x30FE), "han": (0x4E00, 0x9FFF), "hangul": (0xAC00, 0xD7A3),
    "gothic": (0x10330, 0x1034A),
}  # fmt: skip
SPACES = [" ", "  ", "   ", " " * 7, "\t", "\t\t", "\n", "\n\n", "\r\n", "\r", " \n", "\n  ", "\u00a0",
          "\u2003", "\u3000", "\u200b", "\x0b", "\x85", "\u2028"]  # fmt: skip
WORDS = [
    *["the", "of", "and", "to", "in", "is", "that", "for", "it", "was", "on", "are", "as", "with", "his"],
    *["I'm", "don't", "we'll", "they've", "SHE'D", "you're", "l'été", "O'Brien", "it's'", "'tis", "naïve"],
    *["façade", "Straße", "ﬁne", "İstanbul", "ſ", "'ſ", "HELLO", "CamelCase", "snake_case", "kebab-case"],
]
CODE = ["def f(x: int) -> int:\n    return x ** 2  # square", "for (int i = 0; i < n; ++i) { a[i] += b[i]; }",
        "SELECT * FROM t WHERE a >= 10;", "<div class=\"x\">&nbsp;</div>", "{\"k\": [1, 2.5e-3, null]}",
        "\\frac{a}{b} \\sum_{i=0}^{n}", "a&&b||!c ?? d?.e", "$ ls -la | grep '^d' > /tmp/x 2>&1",
        "if x==y:\n\tpass"]  # fmt: skip
EMOJI = [
    "😀",
    "👩\u200d👩\u200d👧\u200d👦",
    "🏳️\u200d🌈",
    "🇩🇪",
    "👍🏽",
    "❤️",
    "1️⃣",
    "☃",
    "🫠",
    "\U0001faf1\U0001f3fb",
]
NUMBERS = ["0", "7", "42", "123", "1234567890", "3.14159", "1,000,000", "2024-11-24", "½", "x²", "Ⅷ", "٣٤",
           "१२३", "①", "𝟘𝟙", "1e-10", "0xFF"]  # fmt: skip


def make_lines(controls: Sequence[str], count: int = 5600, seed: int = 20241124) -> Iterator[str]:
    """`count` lines of words, scripts, white space, code, emoji, numbers, control tokens and raw bytes."""
    draw = random.Random(seed)

    def script() -> str:
        first, last = draw.choice(list(SCRIPTS.values()))
        return "".join(chr(draw.randint(first, last)) for _ in range(draw.randint(1, 9)))

    def anything() -> str:
        code = draw.choice([draw.randrange(0xD800), draw.randrange(0xE000, 0x110000), draw.randrange(0x300)])
        return chr(code)

    def marks() -> str:
        return draw.choice("aeiouy") + "".join(
            chr(draw.randint(0x300, 0x36F)) for _ in range(draw.randint(1, 5))
        )

    def raw() -> str:
        data = draw.randbytes(draw.randint(1, 12))
        return data.decode(draw.choice(["utf-8", "latin-1"]), "replace")

    kinds = [script, anything, marks, raw]
    lists = [SPACES, WORDS, CODE, EMOJI, NUMBERS, list(controls), list(".,;:!?'\"()[]{}<>|@#$%^&*-_=+/\\~`")]
    for _ in range(count):
        pieces = []
        for _ in range(draw.randint(1, 14)):
            choice = draw.randrange(len(kinds) + len(lists))
            pieces.append(kinds[choice]() if choice < len(kinds) else draw.choice(lists[choice - len(kinds)]))
            pieces.append(draw.choice(["", "", " ", " ", draw.choice(SPACES)]))
        yield "".join(pieces)


def make_model(metadata: dict[str, Any]) -> SimpleNamespace:
    """The argument of load_tokenizer, without a file."""
    return SimpleNamespace(metadata=metadata, paths=["tiny.gguf"])


def make_byte_metadata(pre: str = "gpt-2") -> dict[str, Any]:
    """A gpt2 vocabulary: four control tokens, two user-defined ones, 256 bytes and a few merges."""
    merges = ["h e", "l l", "he ll", "Ġ w", "hell o", "o r", "< |", "Ġ Ġ"]
    user = ["<think>", "</think>"]
    tokens = [*CONTROL, *user, *ALPHABET.values(), *(merge.replace(" ", "") for merge in merges)]
    types = [3] * len(CONTROL) + [4] * len(user) + [1] * (len(tokens) - len(CONTROL) - len(user))
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def make_sentencepiece_metadata(n_merges: int = 400) -> dict[str, Any]:
    """A llama vocabulary trained on a few sentences: unk, BOS, EOS, 256 bytes, merged pieces, characters."""
    text = (
        "the quick brown fox jumps over the lazy dog and the other foxes sleep in the old barn while "
        "thunder rolls over the hills, isn't it? Numbers: 10, 20, 300. naïve café 你好 世界 Привет мир "
    ) * 3
    words = Counter(tuple("\u2581" + word) for word in text.split())
    pieces: list[str] = []
    for _ in range(n_merges):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in itertools.pairwise(word):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        pieces.append("".join(best))
        words = Counter({_merge_pair(word, best): count for word, count in words.items()})
    pieces = list(dict.fromkeys(pieces))
    characters = [*sorted(set(text) - {" "}), "\u2581"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *pieces, *characters]
    scores = [0.0] * 259 + [-float(i) for i in range(len(tokens) - 259)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * (len(tokens) - 259),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def _merge_pair(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    for piece in word:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return tuple(out)


@pytest.fixture(scope="session")
def tiny() -> Tokenizer:
    return load_tokenizer(make_model(make_byte_metadata()))


@pytest.fixture(scope="session")
def tiny_llama() -> Tokenizer:
    return load_tokenizer(make_model(make_sentencepiece_metadata()))


@pytest.fixture(scope="session")
def smollm2_model(smollm2_path: Path) -> Any:
    from zeropoint.weights.gguf.reader import open_gguf

    return open_gguf(smollm2_path)


@pytest.fixture(scope="session")
def smollm2(smollm2_model: Any) -> Tokenizer:
    return load_tokenizer(smollm2_model)


@pytest.fixture(scope="session")
def gpt2_metadata() -> dict[str, Any]:
    """GPT-2's published vocabulary and merges, as a GGUF file would hold them."""
    folder = Path(os.environ.get("ZEROPOINT_DATA", "/nonexistent")) / "gpt2"
    if not folder.is_dir():
        pytest.skip("ZEROPOINT_DATA names no folder with gpt2/encoder.json.gz and gpt2/vocab.bpe.gz")
    ids = json.loads(gzip.decompress((folder / "encoder.json.gz").read_bytes()))
    merges = gzip.decompress((folder / "vocab.bpe.gz").read_bytes()).decode().split("\n")[1:-1]
    tokens = sorted(ids, key=ids.__getitem__)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * (len(tokens) - 1) + [3],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": len(tokens) - 1,
        "tokenizer.ggml.eos_token_id": len(tokens) - 1,
    }


@pytest.fixture
def model() -> Callable[[dict[str, Any]], SimpleNamespace]:
    return make_model


@pytest.fixture
def byte_metadata() -> Callable[..., dict[str, Any]]:
    return make_byte_metadata


@pytest.fixture
def sentencepiece_metadata() -> Callable[..., dict[str, Any]]:
    return make_sentencepiece_metadata


@pytest.fixture(scope="session")
def varied_lines() -> Callable[[Sequence[str]], list[str]]:
    """5,600 lines that contain the given control tokens."""
    return lambda controls: list(make_lines(controls))


@pytest.fixture(scope="session")
def transformers_tokenizer() -> Callable[[Path], Any]:
    """Load a GGUF file's tokenizer with transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoTokenizer

    def load(path: Path) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)

    return load


@pytest.fixture(scope="session")
def smollm2_reference(smollm2_path: Path, transformers_tokenizer: Callable[[Path], Any]) -> Any:
    """transformers' tokenizer plus the first step of the published tokenizer.json, which it omits."""
    from tokenizers import pre_tokenizers

    reference = transformers_tokenizer(smollm2_path)
    reference.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return reference
