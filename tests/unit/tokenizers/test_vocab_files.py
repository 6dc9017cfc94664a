"""Published vocabulary files: GPT-2's pair, tokenizer.json and SentencePiece's tokenizer.model."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.to_hf import hf_tokenizer_files
from zeropoint.tokenizers.formats.vocab_files import load_gpt2_files, load_sentencepiece, load_tokenizer_json
from zeropoint.tokenizers.train.bpe import train_bpe


@pytest.mark.heavy
def test_gpt2_files_encode_as_in_transformers(data_folder: Path, tmp_path: Path, varied_lines: Any) -> None:
    for name in ("encoder.json", "vocab.bpe"):
        packed = data_folder / "gpt2" / f"{name}.gz"
        if not packed.is_file():
            pytest.skip(f"ZEROPOINT_DATA has no gpt2/{name}.gz")
        (tmp_path / name).write_bytes(gzip.decompress(packed.read_bytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import GPT2TokenizerFast

        merges = (tmp_path / "vocab.bpe").read_text("utf-8").split("\n")[1:-1]
        theirs = GPT2TokenizerFast(
            vocab=json.loads((tmp_path / "encoder.json").read_text("utf-8")),
            merges=[tuple(merge.split()) for merge in merges],
        ).backend_tokenizer
    ours = load_gpt2_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    assert (ours.n_vocab, ours.eos_id) == (50257, 50256)
    assert ours.encode("Hello world") == [15496, 995]
    for line in varied_lines(["<|endoftext|>"]):
        ids = ours.encode(line, parse_special=True)
        assert ids == theirs.encode(line, add_special_tokens=False).ids
        assert ours.decode(ids) == line


def test_a_trained_bpe_vocabulary_loads(tmp_path: Path) -> None:
    trained = train_bpe("the cat and the hat and the bat " * 3, 280)
    trained.save(tmp_path)
    loaded = load_gpt2_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    assert loaded.encode("the hat é") == trained.encode("the hat é")
    assert (loaded.n_vocab, loaded.eos_id) == (len(trained.tokens), len(trained.tokens) - 1)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["ours", "Llama 2", "Metaspace"])
def test_llamas_tokenizer_json_encodes_as_in_the_library(
    kind: str, sentencepiece_metadata: Any, model: Any, varied_lines: Any, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    opened = model(sentencepiece_metadata())
    for name, data in hf_tokenizer_files(opened, load_tokenizer(opened), 64).items():
        (tmp_path / name).write_bytes(data)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    if kind == "Llama 2":  # as in its published files
        prepend = {"type": "Prepend", "prepend": "▁"}
        replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        content["normalizer"] = {"type": "Sequence", "normalizers": [prepend, replace]}
        content["pre_tokenizer"] = None
    elif kind == "Metaspace":  # `legacy` = false: no prefix before a space or after a control token
        content["normalizer"] = None
        scheme = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
        content["pre_tokenizer"] = scheme
    path.write_text(json.dumps(content), "utf-8")
    ours, library = load_tokenizer_json(path), Tokenizer.from_file(str(path))
    assert (ours.bos_id, ours.eos_id, ours.add_bos) == (1, 2, True)
    for line in varied_lines(["<s>", "</s>"]):
        assert ours.encode(line, parse_special=True) == library.encode(line, add_special_tokens=False).ids
    assert ours.decode(ours.encode(" the fox")) == ("the fox" if kind == "Metaspace" else " the fox")


@pytest.fixture(scope="module")
def trained_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("sentencepiece")
    text = (
        "the quick brown fox jumps over the lazy dog and the other foxes sleep, naïve café 12345 你好\n" * 20
    )
    (folder / "text.txt").write_text(text, "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "tokenizer"), model_type="bpe",
        vocab_size=370, byte_fallback=True, normalization_rule_name="identity", character_coverage=1.0,
        remove_extra_whitespaces=False, split_digits=True, minloglevel=2,
    )  # fmt: skip
    return folder / "tokenizer.model"


def test_a_sentencepiece_model_encodes_as_in_sentencepiece(trained_model: Path) -> None:
    import sentencepiece

    theirs = sentencepiece.SentencePieceProcessor(model_file=str(trained_model))
    ours = load_sentencepiece(trained_model)
    assert (ours.n_vocab, ours.bos_id, ours.eos_id, ours.unk_id) == (370, 1, 2, 0)
    draw = random.Random(0)
    words = ["the", "quick", "foxes", "over", "naïve", "café", "123", "你好", "😀", "zebra", ",", "  ", "\n"]
    for _ in range(300):
        line = " ".join(draw.choices(words, k=draw.randint(1, 9)))
        assert ours.encode(line) == theirs.encode(line), line
        assert ours.decode(ours.encode(line)) == line


@pytest.mark.heavy
@pytest.mark.parametrize("rule", ["nmt_nfkc", "identity"])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepieces_normalization(kind: str, rule: str, tmp_path: Path) -> None:
    """With and without a character map, a prefix, and superfluous spaces."""
    sentencepiece = pytest.importorskip("sentencepiece")
    text = (
        "the quick brown fox jumps over the lazy dog, na\u00efve caf\u00e9 12345 \u4f60\u597d \ufb01ne\n" * 20
    )
    (tmp_path / "text.txt").write_text(text, "utf-8")
    draw = random.Random(0)
    words = ["the", "quick", "na\u00efve", "cafe\u0301", "\u4f60", "\U0001f600", "zebra", ",", " ", "\t",
             "\ufb01ne", "\uff21\uff42", "\u2460", "\u3000", "", "\n"]  # fmt: skip
    for flags in ((True, True), (True, False), (False, True), (False, False)):
        sentencepiece.SentencePieceTrainer.train(
            input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / "m"), model_type=kind,
            minloglevel=2, vocab_size=340, byte_fallback=True, normalization_rule_name=rule,
            character_coverage=1.0, hard_vocab_limit=False, remove_extra_whitespaces=flags[0],
            add_dummy_prefix=flags[1],
        )  # fmt: skip
        theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
        ours = load_sentencepiece(tmp_path / "m.model")
        for _ in range(100):
            line = " ".join(draw.choices(words, k=draw.randint(1, 9)))
            assert ours.encode(line) == theirs.encode(line), (flags, line)


def test_a_damaged_sentencepiece_model_loads_or_raises_bad_model_file(
    trained_model: Path, tmp_path: Path
) -> None:
    data = trained_model.read_bytes()
    path = tmp_path / "tokenizer.model"
    draw = random.Random(1)
    for _ in range(60):
        damaged = bytearray(data[: draw.randrange(len(data))])
        for _ in range(3):
            damaged[draw.randrange(len(damaged) or 1) : 0] = draw.randbytes(2)
        path.write_bytes(damaged)
        with contextlib.suppress(BadModelFile):
            load_sentencepiece(path)


@pytest.mark.parametrize(("data", "message"), [
    (b"", "at least two tokens"), (b"\x0b", "wire type 3"),
    (b"\x0a\xff\xff\xff\xff\x0f", "ends inside a field"),
    (b"\xff" * 11, "more than ten bytes"), (b"\x80", "inside a number"), (b"\x08\x01", "instead of bytes"),
    (b"\x00\x01", "field number of 0"), (b"\x0a\x02\x0a\x7f", "ends inside"),
    (b"\x0a\x03\x0a\x01\xff", "utf-8"),
    (b"\x0a\x09\x11" + struct.pack("<d", 1), "unpack"), (b"\x12\x02\x18\x03", "neither BPE nor unigram"),
])  # fmt: skip
def test_invalid_sentencepiece_models_are_rejected(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(data)
    with pytest.raises(BadModelFile, match=message):
        load_sentencepiece(path)


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"model": 3}', '{"model": {"vocab": {"a": 0}, "merges": 3}}',
    '{"added_tokens": [{"id": 1}]}',
    '{"model": {"vocab": {"a": 99999999999}}}', '{"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [3]}',
])  # fmt: skip
def test_invalid_json_files_are_rejected(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(BadModelFile, match=r"tokenizer\.json"):
        load_tokenizer_json(path)
    with pytest.raises(BadModelFile, match=r"tokenizer\.json|missing\.json"):
        load_gpt2_files(path, tmp_path / "missing.json")
    with pytest.raises(BadModelFile, match="does not exist"):
        load_tokenizer_json(tmp_path / "missing.json")
