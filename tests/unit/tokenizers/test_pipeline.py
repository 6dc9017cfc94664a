"""Steps of tokenizer.json that GGUF has no name for: the library's ids, directly and through our GGUF key."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.core.byte_level import bytes_to_unicode
from zeropoint.tokenizers.core.pipeline import PIPELINE_KEY
from zeropoint.tokenizers.formats.from_hf import gguf_metadata
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.gguf_limits import inexpressible_in_gguf
from zeropoint.tokenizers.formats.to_hf import hf_tokenizer_files
from zeropoint.tokenizers.formats.vocab_files import load_tokenizer_json

TEXTS = [
    "Hello, World! 42 x", " the CAFE\u0301 caf\u00e9 \u2460", "[UNK] hello[SEP]", "\u4f60\u597d hello",
    "", " ", "don't 3.14", "hello" * 30, "ﬁne ½",
]  # fmt: skip
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
        "lowercase": True}  # fmt: skip


def sequence(inner: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", inner: list(steps)}


def replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


NORMALIZERS: list[Any] = [
    None, {"type": "NFC"}, {"type": "NFKC"}, {"type": "Lowercase"}, BERT, BERT | {"lowercase": False},
    sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}),
    {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Prepend", "prepend": "x"},
    sequence("normalizers", sequence("normalizers", replace("!", "?")), {"type": "Nmt"}),
]  # fmt: skip
PRE_TOKENIZERS: list[Any] = [
    {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"}, None,
    sequence("pretokenizers", {"type": "Whitespace"}, {"type": "Digits", "individual_digits": True}),
    sequence("pretokenizers", {"type": "Punctuation", "behavior": "Isolated"}, {"type": "WhitespaceSplit"}),
    {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
    {"type": "CharDelimiterSplit", "delimiter": " "},
    sequence("pretokenizers", {"type": "Split", "pattern": {"Regex": r"\d+|[^\d]"}, "behavior": "Isolated",
                               "invert": False}, BYTE_LEVEL | {"use_regex": False}),
    BYTE_LEVEL | {"add_prefix_space": True},
]  # fmt: skip


def added(tokens: list[str]) -> list[dict[str, Any]]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return [{"id": i, "content": token, "special": True, **flags} for i, token in enumerate(tokens)]


def file_of(model: dict[str, Any], normalizer: Any, pre_tokenizer: Any, special: list[str]) -> dict[str, Any]:
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added(special),
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": None,
        "model": model,
    }  # fmt: skip


def bpe() -> tuple[dict[str, Any], list[str]]:
    letters = sorted({*"Helowrdcaf\u00e9x,!.?'134tbn\u0120\u2581\u4f60", *"abcdefghijklmnopqrstuvwxyz"})
    tokens = ["[UNK]", "[SEP]", *letters, "he", "ll", "hell", "hello"]
    merges = [["h", "e"], ["l", "l"], ["he", "ll"], ["hell", "o"]]
    vocab = {token: i for i, token in enumerate(tokens)}
    return {"type": "BPE", "vocab": vocab, "merges": merges, "unk_token": "[UNK]"}, tokens[:2]


def wordpiece() -> tuple[dict[str, Any], list[str]]:
    tokens = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "hello", "world", "caf\u00e9", "cafe", "a", "##b",
              "x", ",", "h", "##ello", "4", "##2", "don", "'", "t"]  # fmt: skip
    vocab = {token: i for i, token in enumerate(tokens)}
    model = {"type": "WordPiece", "vocab": vocab, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
             "max_input_chars_per_word": 50}  # fmt: skip
    return model, tokens[:5]


def unigram() -> tuple[dict[str, Any], list[str]]:
    pieces = [
        "[UNK]",
        "[SEP]",
        "\u2581",
        "hello",
        "\u2581hello",
        "h",
        "e",
        "l",
        "o",
        "w",
        "r",
        "d",
        "c",
        "a",
        "f",
        "!",
        "x",
        "?",
    ]
    vocab = [[piece, -float(i)] for i, piece in enumerate(pieces)]
    return {"type": "Unigram", "vocab": vocab, "unk_id": 0, "byte_fallback": False}, pieces[:2]


def word_level() -> tuple[dict[str, Any], list[str]]:
    words = ["[UNK]", "[SEP]", "hello", "Hello", "world", ",", "x", "a", "42", "\u2581hello", "\u0120hello"]
    model = {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "[UNK]"}
    return model, words[:2]


@pytest.mark.parametrize("make", [bpe, wordpiece, unigram, word_level])
@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=lambda step: json.dumps(step)[:40])
def test_steps_give_the_librarys_ids(make: Any, normalizer: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    model, special = make()
    path = tmp_path / "tokenizer.json"
    for pre_tokenizer in PRE_TOKENIZERS:
        content = file_of(model, normalizer, pre_tokenizer, special)
        path.write_text(json.dumps(content))
        library, ours = Tokenizer.from_str(path.read_text()), load_tokenizer_json(path)
        back = hf_tokenizer_files(SimpleNamespace(metadata={}), ours, 64)["tokenizer.json"]
        again = Tokenizer.from_str(back.decode())
        for text in TEXTS:
            expected = library.encode(text, add_special_tokens=False).ids
            assert ours.encode(text, parse_special=True) == expected, (pre_tokenizer, text)
            assert again.encode(text, add_special_tokens=False).ids == expected, (pre_tokenizer, text)
            ours.decode(expected)
            assert ours.control_ids.isdisjoint({*ours.encode(text)} - {0})


def test_words_are_decoded_with_spaces_as_in_the_library(tmp_path: Path) -> None:
    model, special = bpe()
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(file_of(model, None, {"type": "Whitespace"}, special)))
    ours = load_tokenizer_json(path)
    ids = ours.encode("hello hello")
    assert ours.decode(ids) == ours.hf_tokenizer.decode(ids) == "hello hello"
    assert ours.encode("Z") == [0]


def test_a_word_that_spells_a_control_token_is_unknown(tmp_path: Path) -> None:
    model, special = word_level()
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(file_of(model, None, {"type": "WhitespaceSplit"}, special)))
    ours = load_tokenizer_json(path)
    assert ours.encode("hello [SEP] world") == [2, 0, 4]
    assert ours.encode("hello [SEP] world", parse_special=True) == [2, 1, 4]
    assert ours.decode([2, 4]) == "hello world"


@pytest.mark.parametrize("use_regex", [True, False])
def test_a_word_that_is_looked_up_before_merging_is_no_control_token(
    use_regex: bool, byte_metadata: Any
) -> None:
    pipeline = {"pre_tokenizer": [BYTE_LEVEL | {"use_regex": use_regex}], "model": {"ignore_merges": True}}
    own_steps = byte_metadata() | {PIPELINE_KEY: json.dumps(pipeline)}
    own_steps["tokenizer.ggml.tokens"][3] = "pad"
    named = byte_metadata("llama-bpe")
    named["tokenizer.ggml.tokens"][3] = "pad"
    for metadata in (own_steps, named):
        tokenizer = load_tokenizer(SimpleNamespace(metadata=metadata, paths=["x.gguf"]))
        for text in ("pad", "<|im_end|>"):
            assert tokenizer.control_ids.isdisjoint(tokenizer.encode(text))
            assert tokenizer.encode(text, parse_special=True)[0] in tokenizer.control_ids
            assert tokenizer.decode(tokenizer.encode(text)) == text
        assert len(tokenizer.encode("hello")) == 1


def test_the_difference_names_the_steps() -> None:
    model, special = bpe()
    content = file_of(model, {"type": "Lowercase"}, {"type": "Whitespace"}, special)
    (difference,) = inexpressible_in_gguf(gguf_metadata(content, {}, {}, 60))
    assert "(Lowercase, Whitespace)" in difference


@pytest.mark.parametrize("value", [
    "", "[]", "{", '{"normalizer": 3}', '{"normalizer": [3]}', '{"normalizer": [{}]}', '{"model": []}',
    '{"normalizer": [{"type": "Other"}]}', '{"pre_tokenizer": [{"type": "Split"}]}',
    '{"model": {"dropout": 0.5}}', '{"model": {"fuse_unk": 1}}', '{"normalizer": ' + "[" * 100_000,
    '{"pre_tokenizer": [{"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", '
    '"invert": false}]}',
    '{"normalizer": [{"type": "Precompiled", "precompiled_charsmap": "AAAABBBB"}]}', 7,
])  # fmt: skip
def test_an_invalid_pipeline_is_rejected_without_a_panic(value: Any, byte_metadata: Any, capfd: Any) -> None:
    opened = SimpleNamespace(metadata=byte_metadata() | {PIPELINE_KEY: value}, paths=["x.gguf"])
    with pytest.raises(BadModelFile, match=r"x\.gguf: zeropoint\.tokenizer\.pipeline: ") as error:
        load_tokenizer(opened)
    assert len(str(error.value)) < 700
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "steps",
    [
        [replace("a", "aa")] * 40,
        [replace("a", "b" * 1_000_000)],
        [{"type": "Replace", "pattern": {"Regex": "x*"}, "content": "y" * 40}] * 2,
        [{"type": "Prepend", "prepend": "x" * 5000}],
        [{"type": "NFC"}] * 65,
    ],
    ids=lambda steps: f"{len(steps)} steps",
)
def test_steps_that_inflate_a_text_are_refused(steps: list[dict[str, Any]], byte_metadata: Any) -> None:
    metadata = byte_metadata() | {
        PIPELINE_KEY: json.dumps({"normalizer": steps, "pre_tokenizer": [BYTE_LEVEL]})
    }
    with pytest.raises(BadModelFile, match="more than"):
        load_tokenizer(SimpleNamespace(metadata=metadata, paths=["x.gguf"]))
    model, special = bpe()
    content = file_of(model, sequence("normalizers", *steps), BYTE_LEVEL, special)
    with pytest.raises(BadModelFile, match=r"tokenizer\.json: `normalizer` is not valid: it"):
        gguf_metadata(content, {}, {}, 60)


def test_a_pattern_that_fails_on_a_text_is_one_sentence(byte_metadata: Any, capfd: Any) -> None:
    from zeropoint.errors import BadInput

    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    metadata = byte_metadata() | {PIPELINE_KEY: json.dumps({"pre_tokenizer": [split, BYTE_LEVEL]})}
    tokenizer = load_tokenizer(SimpleNamespace(metadata=metadata, paths=["x.gguf"]))
    with pytest.raises(BadInput, match="the text could not be encoded"):
        tokenizer.encode("a" * 40 + "b")
    assert capfd.readouterr().err == ""


def test_gemmas_tab_is_a_byte_token() -> None:
    byte_tokens = ["\t" if i == 9 else f"<0x{i:02X}>" for i in range(256)]
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *byte_tokens, "\u2581", "a", "b", "\t\t"]
    vocab = {token: i for i, token in enumerate(tokens)}
    model = {"type": "BPE", "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>", "vocab": vocab,
             "merges": [["\t", "\t"]]}  # fmt: skip
    split = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    content = file_of(model, replace(" ", "\u2581"), split, tokens[:4])
    content["added_tokens"] += [added(["\t\t"])[0] | {"id": len(tokens) - 1, "special": False}]
    from tokenizers import Tokenizer

    library = Tokenizer.from_str(json.dumps(content))
    metadata = gguf_metadata(content, {"bos_token": "<bos>", "eos_token": "<eos>"}, {}, len(tokens))
    assert metadata["tokenizer.ggml.tokens"][13] == "<0x09>"
    assert metadata["tokenizer.ggml.token_type"][13] == 6
    ours = load_tokenizer(SimpleNamespace(metadata=metadata, paths=["x.gguf"]))
    for text in ("a\tb", "\t", "a \t\t\tb\n"):
        assert ours.encode(text) == library.encode(text, add_special_tokens=False).ids
        assert ours.decode(ours.encode(text)) == text


@pytest.mark.parametrize("merges", [[], None])
def test_no_merges_are_an_empty_list(merges: Any, tmp_path: Path) -> None:
    vocab = {token: i for i, token in enumerate([*bytes_to_unicode().values(), "ab"])}
    content = file_of({"type": "BPE", "vocab": vocab, "merges": merges}, None, BYTE_LEVEL, [])
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = load_tokenizer_json(tmp_path / "tokenizer.json")
    assert tokenizer.encode("ab") == [vocab["a"], vocab["b"]]
