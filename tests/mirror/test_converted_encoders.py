"""BERT and T5 as GGUF files: conversion round trips, and BERT's hidden states in llama.cpp and torch agree.

llama-cpp-python cannot run an encoder-decoder, so T5 is compared with its source folder tensor by tensor, and
tests/unit/families compares its names and keys with the gguf package.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from zeropoint.convert.convert import convert
from zeropoint.tokenizers.formats.bert import encode_document
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.sentencepiece import protobuf_fields
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import open_model

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [
    "the",
    "fox",
    "jump",
    "##s",
    "##ing",
    "over",
    "a",
    "##b",
    "b",
    "cafe",
    "你",
    "##好",
    ",",
    "!",
    "[unused0]",
]
TOKENS = [*SPECIAL, *PIECES]
LINES = ["The fox jumps over a b", "ab, jumping! 你好 café", "[MASK] unknown [unused0]", "", "the  THE\tfox"]
BERT = transformers.BertConfig(
    vocab_size=len(TOKENS) + 2,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    max_position_embeddings=64,
    initializer_range=0.3,
)
T5 = {
    "vocab_size": 61,
    "d_model": 32,
    "d_ff": 64,
    "d_kv": 8,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
T5S = {
    "plain": T5,
    "gated, untied": {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "deeper decoder": {**T5, "num_decoder_layers": 3},
}
EMBED = """
import json, sys, llama_cpp
options = {"embedding": True, "pooling_type": llama_cpp.LLAMA_POOLING_TYPE_NONE, "verbose": False}
model = llama_cpp.Llama(sys.argv[1], n_ctx=64, n_threads=2, **options)
lines = json.loads(sys.argv[2])
ids = [model.tokenize(line.encode(), add_bos=True, special=True) for line in lines]
print(json.dumps({"ids": ids, "states": [model.embed(line) for line in lines]}))
"""

IDS = """
import json, sys, llama_cpp
model = llama_cpp.Llama(sys.argv[1], vocab_only=True, verbose=False)
lines = json.loads(sys.argv[2])
print(json.dumps([model.tokenize(line.encode(), add_bos=False, special=False) for line in lines]))
"""


def wordpiece(lowercase: bool, with_template: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(TOKENS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(SPECIAL)
    if with_template:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    else:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def write_bert(folder: Path, tokenizer: Tokenizer) -> None:
    torch.manual_seed(5)
    transformers.BertForMaskedLM(BERT).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.heavy
@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("with_template", [True, False])
def test_wordpiece_ids_equal_those_of_hugging_face(
    lowercase: bool, with_template: bool, tmp_path: Path
) -> None:
    theirs = wordpiece(lowercase, with_template)
    write_bert(tmp_path / "a", theirs)
    notices: list[str] = []
    convert(tmp_path / "a", tmp_path / "b.gguf", notify=notices.append)
    assert any("cls" in line or "head" in line for line in notices)  # GGUF has no tensors for the head
    ours = load_tokenizer(open_gguf(tmp_path / "b.gguf"))
    for line in LINES:
        assert "[" in line or encode_document(ours, line).ids == theirs.encode(line).ids
        assert ours.encode(line, parse_special=True) == theirs.encode(line, add_special_tokens=False).ids, (
            line
        )
    convert(tmp_path / "b.gguf", tmp_path / "c")
    converted = Tokenizer.from_file(str(tmp_path / "c" / "tokenizer.json"))
    for line in LINES:
        assert converted.encode(line).ids == theirs.encode(line).ids, line
        assert converted.encode(line, "fox").type_ids == theirs.encode(line, "fox").type_ids


def test_berts_hidden_states_in_llama_cpp_equal_those_of_torch(llama_cpp: str, tmp_path: Path) -> None:
    theirs = wordpiece(True, True)
    write_bert(tmp_path / "a", theirs)
    convert(tmp_path / "a", tmp_path / "b.gguf")
    lines = [line for line in LINES if line and "[" not in line]
    command = [llama_cpp, "-c", EMBED, str(tmp_path / "b.gguf"), json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    reference = transformers.BertModel.from_pretrained(tmp_path / "a", add_pooling_layer=False).eval()
    for line, ids, states in zip(lines, result["ids"], result["states"], strict=True):
        assert ids == theirs.encode(line).ids
        with torch.no_grad():
            expected = reference(torch.tensor([ids])).last_hidden_state[0].numpy()
        actual = np.array(states)
        norms = np.linalg.norm(expected, axis=-1) * np.linalg.norm(actual, axis=-1)
        assert ((expected * actual).sum(-1) / norms).min() > 0.999, line  # cosine similarity


def unigram(folder: Path) -> Tokenizer:
    """A unigram vocabulary trained by SentencePiece, with its charsmap, in the form of T5's
    tokenizer.json."""
    text = "the quick brown fox jumps over the lazy dog, naïve café ﬁne ½ 12345 你好!\n" * 20
    (folder / "text.txt").write_text(text, "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "spiece"), model_type="unigram",
        vocab_size=70, hard_vocab_limit=False, character_coverage=1.0, minloglevel=2,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
    )  # fmt: skip
    data = (folder / "spiece.model").read_bytes()
    pieces, charsmap = [], b""
    for number, value in protobuf_fields(data):
        if number == 1:
            piece = dict(protobuf_fields(value))
            pieces.append((piece[1].decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0]))
        elif number == 3:
            charsmap = dict(protobuf_fields(value))[2]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>", "<extra_id_0>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def test_unigram_ids_equal_those_of_transformers_and_llama_cpp(llama_cpp: str, tmp_path: Path) -> None:
    theirs = unigram(tmp_path)
    config = transformers.T5Config(**{**T5, "vocab_size": theirs.get_vocab_size() + 3})
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "a")
    theirs.save(str(tmp_path / "a" / "tokenizer.json"))
    settings = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    (tmp_path / "a" / "tokenizer_config.json").write_text(json.dumps(settings))
    convert(tmp_path / "a", tmp_path / "b.gguf")
    ours = load_tokenizer(open_gguf(tmp_path / "b.gguf"))
    words = [
        "the",
        "Quick",
        "fox",
        "ﬁne",
        "½",
        "naïve",
        "你好",
        "zebra",
        "12",
        "</s>",
        "<extra_id_0>",
        "\t",
        "",
    ]
    draw = random.Random(3)
    lines = [" " * (n % 2) + " ".join(draw.choices(words, k=draw.randint(1, 7))) for n in range(100)]
    for line in lines:
        assert ours.encode(line, parse_special=True) == theirs.encode(line, add_special_tokens=False).ids, (
            line
        )
        assert not (ours.control_ids - {ours.unk_id}) & set(ours.encode(line))
    convert(tmp_path / "b.gguf", tmp_path / "c")
    converted = Tokenizer.from_file(str(tmp_path / "c" / "tokenizer.json"))
    for line in lines:
        assert converted.encode(line).ids == theirs.encode(line).ids, line
    plain = [line for line in lines if "<" not in line]
    command = [llama_cpp, "-c", IDS, str(tmp_path / "b.gguf"), json.dumps(plain)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [ours.encode(line) for line in plain]


@pytest.mark.heavy
@pytest.mark.parametrize("form", [None, "F16"])
@pytest.mark.parametrize("config", T5S.values(), ids=T5S)
def test_t5_round_trips(config: dict[str, Any], form: str | None, tmp_path: Path) -> None:
    t5_config = transformers.T5Config(**config)
    t5_config.tie_word_embeddings = config.get("tie_word_embeddings", True)
    model = transformers.T5ForConditionalGeneration(t5_config)
    model.encoder.set_input_embeddings(model.shared)
    model.decoder.set_input_embeddings(model.shared)
    model.save_pretrained(tmp_path / "a")
    assert convert(tmp_path / "a", tmp_path / "b.gguf", to=form).was_run
    assert convert(tmp_path / "b.gguf", tmp_path / "c").was_run
    original, converted = open_model(tmp_path / "a"), open_model(tmp_path / "c")
    assert original.blueprint == converted.blueprint
    for name in original.weights:
        expected = original.weights[name]
        if form and len(expected.shape) > 1 and "relative_bias" not in name:
            expected = expected.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(converted.weights[name], expected)
