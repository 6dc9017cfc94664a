"""Pre-tokenizers that GGUF names: the steps of the published tokenizer.json files, recognized and applied."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.formats.from_hf import gguf_metadata
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.pretokenizers import pre_tokenizers
from zeropoint.tokenizers.formats.to_hf import hf_tokenizer_files

DIGITS = {"type": "Digits", "individual_digits": True}
NFC = {"type": "NFC"}
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
HAN = "[一-龥ࠀ-一가-퟿]+"
TEXT = "I'LL pay 12345\n  x (3.14)!! 你好 été\t\tнет"


def byte_level(use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


# As in the tokenizer.json of Falcon 7B, DeepSeek Coder, MPT, OLMo, StarCoder 2, Refact, Command R and BLOOM.
PUBLISHED: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "falcon": (None, [
        {"type": "Punctuation", "behavior": "Contiguous"}, byte_level(True),
        {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]"),
    ]),
    "deepseek-coder": (None, [
        split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(HAN), DIGITS, byte_level(False),
    ]),
    "mpt": (NFC, [byte_level(True)]),
    "smollm": (None, [DIGITS, byte_level(True)]),
    "command-r": (NFC, [DIGITS, byte_level(True)]),
    "bloom": (None, [split(BLOOM), byte_level(False)]),
}  # fmt: skip


def library_file(normalizer: Any, steps: list[dict[str, Any]], vocab: list[str]) -> dict[str, Any]:
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}, "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": {token: i for i, token in enumerate(vocab)}, "merges": []},
    }  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_steps_are_recognized_and_give_the_librarys_words(name: str, byte_metadata: Any) -> None:
    from tokenizers import Tokenizer

    content = library_file(*PUBLISHED[name], byte_metadata()["tokenizer.ggml.tokens"])
    metadata = gguf_metadata(content, {}, {}, len(byte_metadata()["tokenizer.ggml.tokens"]))
    assert metadata["tokenizer.ggml.pre"] == name
    assert "zeropoint.tokenizer.pipeline" not in metadata
    ours = load_tokenizer(SimpleNamespace(metadata=metadata, paths=["x.gguf"])).hf_tokenizer
    theirs = Tokenizer.from_str(json.dumps(content))
    assert ours.pre_tokenizer.pre_tokenize_str(TEXT) == theirs.pre_tokenizer.pre_tokenize_str(TEXT)


def test_every_pre_tokenizer_is_recognized_after_a_round_trip(byte_metadata: Any, model: Any) -> None:
    first_names: dict[int, str] = {}
    for name, steps in pre_tokenizers().items():
        first = first_names.setdefault(id(steps), name)
        if first != name:
            continue
        opened = model(byte_metadata(name))
        content = json.loads(hf_tokenizer_files(opened, load_tokenizer(opened), 64)["tokenizer.json"])
        metadata = gguf_metadata(content, {}, {}, len(opened.metadata["tokenizer.ggml.tokens"]))
        assert metadata["tokenizer.ggml.pre"] == name
        assert "zeropoint.tokenizer.pipeline" not in metadata, name


def test_no_word_spans_the_space_before_which_long_text_is_divided(
    byte_metadata: Any, model: Any, varied_lines: Any
) -> None:
    rows = {id(steps): (name, steps) for name, steps in pre_tokenizers().items()}
    lines = [*varied_lines(["<|im_end|>"])[:250], "a, (b | c) = + \u05e9\u05dc \u05e2 \u200d \u200d x"]
    for name, steps in rows.values():
        pre_tokenizer = load_tokenizer(model(byte_metadata(name))).hf_tokenizer.pre_tokenizer
        spanning = 0
        for line in lines:
            starts = {start for _, (start, _) in pre_tokenizer.pre_tokenize_str(line)}
            spanning += len({match.start() for match in re.finditer(r"(?<=\S) ", line)} - starts)
        assert (spanning > 0) == steps.spans_words, name


def test_keeping_the_matches_of_a_pattern_that_covers_all_text_is_isolating_them(byte_metadata: Any) -> None:
    pattern = pre_tokenizers()["gpt-4o"].pipeline.pre_tokenizer[0]["pattern"]
    kept = {"type": "Split", "pattern": pattern, "behavior": "Removed", "invert": True}
    content = library_file(None, [kept, byte_level(False)], byte_metadata()["tokenizer.ggml.tokens"])
    assert gguf_metadata(content, {}, {}, 270)["tokenizer.ggml.pre"] == "gpt-4o"


def test_text_that_a_pattern_joins_across_words_is_not_divided(
    byte_metadata: Any, model: Any, monkeypatch: Any
) -> None:
    tokenizer = load_tokenizer(model(byte_metadata("superbpe")))
    text = "hello world or " * 30
    ids = tokenizer.encode(text)
    monkeypatch.setattr("zeropoint.tokenizers.core.tokenizer._CHUNK_CHARS", 10)
    assert tokenizer.encode(text) == ids


def test_kimi_k2_separates_han_and_the_words_of_camel_case(byte_metadata: Any, model: Any) -> None:
    """As Moonshot's own pattern does; llama.cpp's keeps `iPhone` in one piece."""
    steps = load_tokenizer(model(byte_metadata("kimi-k2"))).hf_tokenizer.pre_tokenizer
    text = "getUserName 你好hello世界 1234 IT'S"
    words = [text[start:end] for _, (start, end) in steps.pre_tokenize_str(text)]
    assert words == ["get", "User", "Name", " ", "你好", "hello", "世界", " ", "123", "4", " IT'S"]


@pytest.mark.parametrize(("kind", "pre"), [("gemma4", "default"), ("gpt2", "gemma4"), ("gpt2", "sarvam-moe")])
def test_gemma_4_merges_raw_characters(kind: str, pre: str, model: Any) -> None:
    tokens = ["<eos>", "▁", "é", "▁é", "a", "\n", "\n\n", *(f"<0x{byte:02X}>" for byte in range(256))]
    metadata = {
        "tokenizer.ggml.model": kind,
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3, 1, 1, 1, 1, 1, 1, *[6] * 256],
        "tokenizer.ggml.merges": ["\n \n", "▁ é"],
        "tokenizer.ggml.eos_token_id": 0,
    }
    tokenizer = load_tokenizer(model(metadata))
    assert tokenizer.encode("a é\n\nz") == [4, 3, 6, 7 + ord("z")]
    assert tokenizer.decode([4, 3, 6, 7 + ord("z")]) == "a é\n\nz"
    assert not tokenizer.add_bos
    del metadata["tokenizer.ggml.merges"]
    if kind == "gemma4":
        with pytest.raises(BadModelFile, match=r"tokenizer\.ggml\.merges: missing"):
            load_tokenizer(model(metadata))
