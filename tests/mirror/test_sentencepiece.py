"""A trained SentencePiece model encodes identically here, in SentencePiece and in llama.cpp."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece

from tests.support.tiny import Tiny, tiny_weights
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.sentencepiece import sentencepiece_metadata
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.gguf.writer import write_gguf
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.packing import pack

N_VOCAB = 370
TEXT = "the quick brown fox jumps over the lazy dog and the other foxes sleep, naïve café 12345 你好\n"
WORDS = ["the", "quick", "foxes", "over", "naïve", "café", "123", "你好", "😀", "zebra", ",", "", " ", "\n"]
ADDED = ["<s>", "</s>", "<user>"]
WITH_ADDED = ["<s>fox", "<s> fox", "a</s>b", "a</s> b", "x<user>fox", "x<user> fox", "<user>the", " </s> "]
LLAMA_CPP = """
import json, sys, llama_cpp
model = llama_cpp.Llama(sys.argv[1], vocab_only=True, verbose=False)
lines = json.loads(sys.stdin.read())
print(json.dumps([[model.tokenize(x.encode(), add_bos=False, special=s) for x in lines] for s in (0, 1)]))
"""


def lines_of(words: list[str]) -> Iterator[str]:
    draw = random.Random(0)
    for n in range(200):
        yield " " * (n % 3) + " ".join(draw.choices(words, k=draw.randint(1, 8)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sentencepiece")
    (folder / "text.txt").write_text(TEXT * 20, "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "tokenizer"), model_type="bpe",
        vocab_size=N_VOCAB, byte_fallback=True, normalization_rule_name="identity", character_coverage=1.0,
        remove_extra_whitespaces=False, split_digits=True, minloglevel=2, user_defined_symbols=["<user>"],
    )  # fmt: skip
    return folder / "tokenizer.model"


def write_model(path: Path, tokenizer: dict[str, Any]) -> None:
    weights = tiny_weights(Tiny()) | {"token_embd.weight": np.zeros((N_VOCAB, 64), np.float32)}
    sizes = {"context_length": 256, "embedding_length": 64, "block_count": 2, "feed_forward_length": 96}
    heads = {"attention.head_count": 4, "attention.head_count_kv": 2, "rope.dimension_count": 16}
    other = {"attention.layer_norm_rms_epsilon": 1e-5}
    metadata = {f"llama.{key}": value for key, value in (sizes | heads | other).items()}
    tensors = [
        pack(name, LazyTensor(array.shape, "F32", array.copy), "F32") for name, array in weights.items()
    ]
    write_gguf(path, {"general.architecture": "llama", **metadata, **tokenizer}, tensors)


def theirs(python: str, path: Path, lines: list[str]) -> list[list[list[int]]]:
    command = [python, "-c", LLAMA_CPP, str(path)]
    done = subprocess.run(
        command, input=json.dumps(lines), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ids: list[list[list[int]]] = json.loads(done.stdout.splitlines()[-1])
    return ids


def test_ids_equal_those_of_sentencepiece(trained: Path, tmp_path: Path) -> None:
    reference = sentencepiece.SentencePieceProcessor(model_file=str(trained))
    write_model(tmp_path / "m.gguf", sentencepiece_metadata(trained.read_bytes()))
    ours = load_tokenizer(open_gguf(tmp_path / "m.gguf"))
    for line in ["", " ", "  ", "\nfox", *lines_of(WORDS), "<s>fox", " </s>"]:
        assert ours.encode(line) == reference.encode(line), line
        assert ours.decode(ours.encode(line)) == line


@pytest.mark.parametrize("prefix", [None, True, False])
def test_ids_equal_those_of_llama_cpp(
    prefix: bool | None, trained: Path, llama_cpp: str, tmp_path: Path
) -> None:
    """With and without `add_space_prefix` (true by default), also after added tokens."""
    metadata = sentencepiece_metadata(trained.read_bytes())
    del metadata["tokenizer.ggml.add_space_prefix"]
    if prefix is not None:
        metadata["tokenizer.ggml.add_space_prefix"] = prefix
    write_model(tmp_path / "m.gguf", metadata)
    ours = load_tokenizer(open_gguf(tmp_path / "m.gguf"))
    lines = ["", " ", "  ", "\nfox", *WITH_ADDED, *lines_of([*WORDS, *ADDED])]
    as_text, as_control = theirs(llama_cpp, tmp_path / "m.gguf", lines)
    for i, line in enumerate(lines):
        assert ours.encode(line) == as_text[i], line
        assert ours.encode(line, parse_special=True) == as_control[i], line


def test_encoding_in_chunks_gives_the_same_ids(trained: Path, tmp_path: Path) -> None:
    """In a continuation, text after an added token gets the space prefix too."""
    write_model(tmp_path / "m.gguf", sentencepiece_metadata(trained.read_bytes()))
    ours = load_tokenizer(open_gguf(tmp_path / "m.gguf"))
    first, second = "the quick", " fox</s>the lazy<user> dog"
    for parse_special in (True, False):
        head = ours.encode(first, parse_special=parse_special)
        tail = ours.encode(second, parse_special=parse_special, is_continuation=True)
        assert head + tail == ours.encode(first + second, parse_special=parse_special)
