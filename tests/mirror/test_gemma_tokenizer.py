"""Gemma 3's SentencePiece tokenizer of 262,144 tokens gives the ids of llama.cpp."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
from pathlib import Path

import pytest

from zeropoint.tokenizers.core.vocabulary import read_vocabulary
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.weights.gguf.reader import open_gguf

pytestmark = [pytest.mark.model, pytest.mark.process, pytest.mark.heavy]
SCRIPT = """
import json, sys, llama_cpp
model = llama_cpp.Llama(sys.argv[1], vocab_only=True, verbose=False)
texts = json.load(sys.stdin)
spans = ((texts, False), (texts[-1000:], True))
json.dump([[model.tokenize(t.encode(), add_bos=False, special=s) for t in ts] for ts, s in spans], sys.stdout)
"""
SPACES = (" ", "  ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "▁")


def sampled(text: str, count: int, rng: random.Random) -> list[str]:
    """Pieces of a text of many lengths, which begin and end anywhere."""
    starts = [rng.randrange(len(text)) for _ in range(count)]
    return [text[start : start + rng.randrange(1, 1500)] for start in starts]


def characters(rng: random.Random) -> list[str]:
    """Every block of Unicode, emoji with joiners, control characters, and runs of white space."""
    texts = ["".join(map(chr, range(code, code + 7))) for code in range(1, 0xD7F0, 61)]
    emoji = [*map(chr, range(0x1F300, 0x1FAFF)), "\u200d", "\ufe0f", "\U0001f3fd", " ", "a"]
    controls = [*map(chr, range(1, 32)), "\x7f", "\u2028", "a", " "]
    texts += ["".join(rng.choices(emoji, k=rng.randrange(1, 30))) for _ in range(200)]
    texts += ["".join(rng.choices(controls, k=rng.randrange(1, 30))) for _ in range(200)]
    texts += ["".join(rng.choices([*SPACES, "a", "The", "1", "."], k=20)) for _ in range(300)]
    for count in (*range(1, 40), 64, 65, 127, 128, 129, 300):
        texts += [
            f"{prefix}{space * count}{end}" for space in SPACES for prefix, end in (("", ""), ("a", "b"))
        ]
    return texts


def test_texts_have_the_ids_of_llama_cpp(gemma3_path: Path, llama_cpp: str, data_folder: Path) -> None:
    rng = random.Random(0)
    file = open_gguf(gemma3_path)
    tokenizer = load_tokenizer(file)
    corpora = [data_folder / "wikitext-2/test.txt.gz", *sorted(data_folder.glob("multi30k/val.*.gz"))]
    texts = [
        text for path in corpora for text in sampled(gzip.decompress(path.read_bytes()).decode(), 300, rng)
    ]
    texts += sampled((data_folder / "tinyshakespeare.txt").read_text("utf-8"), 300, rng)
    code = [*Path(__file__).parents[2].glob("native/ops/*.cpp"), *Path(__file__).parent.glob("*.py")]
    texts += sampled("".join(path.read_text("utf-8") for path in sorted(code)), 500, rng)
    texts += characters(rng)
    tokens, types = file.metadata["tokenizer.ggml.tokens"], file.metadata["tokenizer.ggml.token_type"]
    added = [token for token, kind in zip(tokens, types, strict=True) if kind in (3, 4)]
    pieces = [*added, *(token.replace("▁", " ") for token in rng.sample(list(tokens), 2000)), "<", ">", " "]
    texts += ["".join(rng.choices(pieces, k=rng.randrange(1, 20))) for _ in range(1500)]
    done = subprocess.run(
        [llama_cpp, "-c", SCRIPT, str(gemma3_path)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert len(texts) > 4000
    plain, special = json.loads(done.stdout)
    for parse_special, expected in ((False, plain), (True, special)):
        compared = texts[-len(expected) :]
        ids = [tokenizer.encode(text, parse_special=parse_special) for text in compared]
        assert [text for text, a, b in zip(compared, ids, expected, strict=True) if a != b] == []


def test_the_kind_of_gemma_4_gives_the_expected_ids(gemma3_path: Path, data_folder: Path) -> None:
    """Gemma 4 has the vocabulary of Gemma 3; its files list merges, and white space is not user-defined."""
    stem = data_folder / "vocab/ggml-vocab-gemma-4.gguf"
    texts = Path(f"{stem}.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")[:-1]
    lines = Path(f"{stem}.out").read_text("utf-8").splitlines()
    metadata = dict(open_gguf(gemma3_path).metadata.items())
    kinds = metadata["tokenizer.ggml.token_type"]
    metadata["tokenizer.ggml.token_type"] = [1 if kind == 4 else kind for kind in kinds]
    metadata["tokenizer.ggml.tokens"] = [t.replace(" ", "▁") for t in metadata["tokenizer.ggml.tokens"]]
    merges = read_vocabulary(type("Model", (), {"metadata": metadata})()).merges
    merges.sort(key=lambda pair: not set("".join(pair)) <= set("▁\n\t"))  # white space first, as published
    metadata["tokenizer.ggml.merges"] = list(map(" ".join, merges))
    metadata["tokenizer.ggml.model"] = "gemma4"
    del metadata["tokenizer.ggml.add_space_prefix"], metadata["tokenizer.ggml.add_bos_token"]
    tokenizer = load_tokenizer(type("Model", (), {"metadata": metadata})())
    assert not tokenizer.add_bos
    for text, line in zip(texts, lines, strict=False):
        assert tokenizer.encode(text) == [int(index) for index in line.split()], text
        assert tokenizer.decode(tokenizer.encode(text)) == text
