"""Flags of added tokens: as in the library, and kept through conversion in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.chat.prompt import encode_chat
from zeropoint.tokenizers.chat.template import ChatTemplate
from zeropoint.tokenizers.core.byte_level import bytes_to_unicode
from zeropoint.tokenizers.formats.from_hf import gguf_metadata
from zeropoint.tokenizers.formats.gguf import Tokenizer, load_tokenizer
from zeropoint.tokenizers.formats.gguf_limits import inexpressible_in_gguf
from zeropoint.tokenizers.formats.to_hf import hf_tokenizer_files
from zeropoint.tokenizers.formats.vocab_files import load_tokenizer_json

FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
TEXTS = [
    "a <|user|>\nhi", "a\t <|user|>  hi <|user|><|user|>", "hi<|user|>hi", " <|user|> ", "x<|user|>,",
    "<|USER|>", "<|user|>\n\n<|user|>\u3000hi \u00a0<|user|>", "hi", "",
]  # fmt: skip


def byte_level_json(special: bool = True, **flags: bool) -> dict[str, Any]:
    vocab = {token: i for i, token in enumerate([*bytes_to_unicode().values(), "hi"])}
    added = {"id": 257, "content": "<|user|>", "special": special, **dict.fromkeys(FLAGS, False), **flags}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "decoder": None, "added_tokens": [added], "pre_tokenizer": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": ["h i"]},
    }  # fmt: skip


def llama_json(normalizer: Any, pre_tokenizer: Any, **flags: bool) -> dict[str, Any]:
    tokens = ["<unk>", "<s>", "</s>", "<|user|>", *(f"<0x{i:02X}>" for i in range(256)), "\u2581", "h", "i"]
    added = [
        {"id": i, "content": token, "special": True, **dict.fromkeys(FLAGS, False), **flags}
        for i, token in enumerate(tokens[:4])
    ]
    model = {"type": "BPE", "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>", "merges": [],
             "vocab": {token: i for i, token in enumerate(tokens)}}  # fmt: skip
    return {
        "version": "1.0", "truncation": None, "padding": None, "post_processor": None, "decoder": None,
        "added_tokens": added, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "model": model,
    }  # fmt: skip


PREPEND = {"type": "Prepend", "prepend": "\u2581"}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
LEGACY = {"type": "Sequence", "normalizers": [PREPEND, REPLACE]}
METASPACE = {"type": "Metaspace", "replacement": "\u2581", "split": False}


def theirs(content: dict[str, Any], text: str) -> list[int]:
    from tokenizers import Tokenizer

    ids: list[int] = Tokenizer.from_str(json.dumps(content)).encode(text, add_special_tokens=False).ids
    return ids


def through_gguf(content: dict[str, Any], n_vocab: int) -> Tokenizer:
    return load_tokenizer(model(gguf_metadata(content, {}, {}, n_vocab)))


def model(metadata: dict[str, Any]) -> Any:
    return SimpleNamespace(metadata=metadata, paths=["x.gguf"])


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize(
    "flags", [{}, *({flag: True} for flag in FLAGS), dict.fromkeys(FLAGS, True)], ids=str
)
def test_flags_have_the_effect_they_have_in_the_library(
    flags: dict[str, bool], special: bool, tmp_path: Path
) -> None:
    content = byte_level_json(special, **flags)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    direct, converted = load_tokenizer_json(tmp_path / "tokenizer.json"), through_gguf(content, 258)
    back = hf_tokenizer_files(model({}), converted, 64)["tokenizer.json"]
    for text in TEXTS:
        expected = theirs(content, text)
        assert direct.encode(text, parse_special=True) == expected, text
        assert converted.encode(text, parse_special=True) == expected, text
        assert theirs(json.loads(back), text) == expected, text
        assert 257 not in direct.encode(text) or not special
    written = json.loads(back)["added_tokens"][0]
    assert {flag: written[flag] for flag in FLAGS} == dict.fromkeys(FLAGS, False) | flags


@pytest.mark.parametrize("flags", [{}, {"normalized": True}, {"rstrip": True}, {"lstrip": True}], ids=str)
@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer"),
    [
        (LEGACY, None),
        (
            REPLACE,
            {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        ),
        *((None, {**METASPACE, "prepend_scheme": scheme}) for scheme in ("always", "first", "never")),
    ],
    ids=["Llama 2", "Gemma", "always", "first", "never"],
)
def test_sentencepiece_variants_give_the_librarys_ids_also_after_conversion(
    normalizer: Any, pre_tokenizer: Any, flags: dict[str, bool]
) -> None:
    content = llama_json(normalizer, pre_tokenizer, **flags)
    tokenizer = through_gguf(content, 263)
    back = hf_tokenizer_files(model({}), tokenizer, 64)["tokenizer.json"]
    for text in [*TEXTS, "<s>hi", "<s> hi </s>\n hi", "  hi<s>", "hi hi"]:
        assert tokenizer.encode(text, parse_special=True) == theirs(content, text), text
        assert theirs(json.loads(back), text) == theirs(content, text), text
    assert tokenizer.decode(tokenizer.encode("hi  hi\n")) == "hi  hi\n"


@pytest.mark.parametrize("strips", [True, False])
def test_a_decoder_that_keeps_the_first_space_still_does_after_conversion(strips: bool) -> None:
    content = llama_json(None, {**METASPACE, "prepend_scheme": "first"})
    replace = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if strips else []
    content["decoder"] = {"type": "Sequence", "decoders": [replace, {"type": "Fuse"}, *strip]}
    tokenizer = through_gguf(content, 263)
    assert tokenizer.decode(tokenizer.encode("hi")) == ("hi" if strips else " hi")


def test_a_conversion_says_what_other_programs_do_differently() -> None:
    first = llama_json(None, {**METASPACE, "prepend_scheme": "first"})
    (difference,) = inexpressible_in_gguf(gguf_metadata(first, {}, {}, 263))
    assert "only before the first word" in difference
    (difference,) = inexpressible_in_gguf(gguf_metadata(llama_json(LEGACY, None, rstrip=True), {}, {}, 263))
    assert difference.endswith("keep the white space after <unk>, <s>, </s> and 1 more tokens")
    assert inexpressible_in_gguf(gguf_metadata(llama_json(LEGACY, None), {}, {}, 263)) == []


@pytest.mark.parametrize(
    ("name", "is_stripped"),
    [("Phi3", True), ("Phi 3 Mini 4k Instruct", True), ("phi-3.5", True), ("Llama 2", False)],
)
def test_phi3s_flags_are_known_by_its_name(name: str, is_stripped: bool) -> None:
    metadata = gguf_metadata(llama_json(LEGACY, None), {}, {}, 263) | {"general.name": name}
    del metadata["zeropoint.tokenizer.added_token_flags"]
    tokenizer = load_tokenizer(model(metadata))
    stripped = theirs(llama_json(LEGACY, None, rstrip=True), "<|user|>\nhi")
    assert (tokenizer.encode("<|user|>\nhi", parse_special=True) == stripped) is is_stripped
    assert 13 in tokenizer.encode("<s>\nhi", parse_special=True) or 14 in tokenizer.encode("<s>\nhi")


@pytest.mark.parametrize(
    ("keys", "token"),
    [
        ({"tokenizer.ggml.pre": "jina-v2-de"}, "<mask>"),
        ({"general.architecture": "nomic-bert-moe"}, "<mask>"),
        ({"general.name": "modern-bert-base"}, "[MASK]"),
    ],
)
def test_masks_known_to_swallow_the_space_before_them(keys: dict[str, str], token: str) -> None:
    content = byte_level_json()
    content["added_tokens"][0]["content"] = token
    metadata = gguf_metadata(content, {}, {}, 258) | keys
    del metadata["zeropoint.tokenizer.added_token_flags"]
    assert load_tokenizer(model(metadata)).encode(f"hi {token}", parse_special=True) == [256, 257]


def test_flags_that_the_file_states_win_over_its_name() -> None:
    metadata = gguf_metadata(llama_json(LEGACY, None), {}, {}, 263) | {"general.name": "phi-3"}
    ids = load_tokenizer(model(metadata)).encode("<|user|>\nhi", parse_special=True)
    assert ids == theirs(llama_json(LEGACY, None), "<|user|>\nhi")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "[]",
        "3",
        '{"strip":[1]}',
        '{"rstrip":1}',
        '{"rstrip":[-1]}',
        '{"rstrip":[9999]}',
        '{"rstrip":[true]}',
    ],
)
def test_invalid_flags_are_rejected(value: str) -> None:
    metadata = gguf_metadata(byte_level_json(), {}, {}, 258) | {
        "zeropoint.tokenizer.added_token_flags": value
    }
    with pytest.raises(BadModelFile, match=r"x\.gguf: zeropoint\.tokenizer\.added_token_flags: "):
        load_tokenizer(model(metadata))


@pytest.mark.parametrize("flags", [{"lstrip": True, "rstrip": True}, {"normalized": True}])
def test_a_message_cannot_spell_a_token_that_swallows_white_space(flags: dict[str, bool]) -> None:
    tokenizer = through_gguf(byte_level_json(**flags), 258)
    template = ChatTemplate("<|user|>{% for m in messages %}{{ m.content }}{% endfor %}<|user|>")
    ids = encode_chat(tokenizer, template, [{"role": "user", "content": " hi  <|user|> hi"}])
    assert ids.count(257) == 2
    assert "<|user|> hi" in tokenizer.decode(ids[1:-1])


@pytest.mark.parametrize("flags", [{"single_word": True}, {"normalized": True}])
def test_a_template_that_cuts_a_message_cannot_complete_a_token_in_it(flags: dict[str, bool]) -> None:
    content = byte_level_json(**flags)
    if "normalized" in flags:  # then the library finds it only at the start of a text
        content["normalizer"] = {"type": "Prepend", "prepend": "x"}
    tokenizer = through_gguf(content, 258)
    template = ChatTemplate("{% for m in messages %}{{ m.content[1:] }}{% endfor %}")
    ids = encode_chat(tokenizer, template, [{"role": "user", "content": "a<|user|> hi"}])
    assert 257 not in ids


def test_white_space_that_a_token_swallows_stays_with_it_in_long_text(monkeypatch: Any) -> None:
    tokenizer = through_gguf(byte_level_json(rstrip=True), 258)
    text = "hi<|user|> hi " * 50
    ids = tokenizer.encode(text, parse_special=True)
    monkeypatch.setattr("zeropoint.tokenizers.core.tokenizer._CHUNK_CHARS", 10)
    assert tokenizer.encode(text, parse_special=True) == ids
