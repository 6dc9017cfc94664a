"""Real vocabularies encode the texts of llama.cpp's tokenizer test to the ids that it expects."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from zeropoint.tokenizers.formats.from_hf import gguf_metadata
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.to_hf import hf_tokenizer_files
from zeropoint.weights.gguf.reader import open_gguf

FOLDER = Path(os.environ.get("ZEROPOINT_DATA", "/nonexistent")) / "vocab"
NAMES = ("bert-bge", "falcon", "gpt-2", "llama-spm", "phi-3", "starcoder")
SEPARATOR = "\n__ggml_vocab_test__\n"


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_texts_have_the_expected_ids(name: str, tmp_path: Path) -> None:
    packed = FOLDER / f"ggml-vocab-{name}.gguf.gz"
    if not packed.is_file():
        pytest.skip(f"ZEROPOINT_DATA has no vocab/{packed.name}")
    (tmp_path / "v.gguf").write_bytes(gzip.decompress(packed.read_bytes()))
    file = open_gguf(tmp_path / "v.gguf")
    tokenizer = load_tokenizer(file)
    stem = str(packed).removesuffix(".gz")
    texts = Path(f"{stem}.inp").read_text("utf-8").split(SEPARATOR)[:-1]
    lines = Path(f"{stem}.out").read_text("utf-8").splitlines()
    expected = [[int(index) for index in line.split()] for line in lines]
    assert len(texts) == len(expected) > 40
    # A copy that went through a Hugging Face folder gives the same ids and the same kind and pre-tokenizer.
    content = json.loads(hf_tokenizer_files(file, tokenizer, 64)["tokenizer.json"])
    metadata = gguf_metadata(content, {}, {}, tokenizer.n_vocab)
    again = load_tokenizer(type("Copy", (), {"metadata": metadata})())
    assert "zeropoint.tokenizer.pipeline" not in metadata
    for text, ids in zip(texts, expected, strict=True):
        assert tokenizer.encode(text) == ids, text
        assert again.encode(text) == ids, text
