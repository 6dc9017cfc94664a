"""Every node of a sound tokenizer.json replaced by values of other types: it loads, or the field is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.formats.from_hf import gguf_metadata
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.json_field import JsonField
from zeropoint.tokenizers.formats.vocab_files import load_tokenizer_json

VALUES: list[Any] = [
    None, 7, -1, 1.5, True, "x", "", "\ud800", [], {}, float("nan"), 10**400, ["a"], [None], [[]], {"a": 1},
    {"type": "Sequence"}, {"type": 3}, [{"type": "Sequence", "normalizers": 5}],
]  # fmt: skip
FLAGS = {"single_word": False, "lstrip": False, "rstrip": True, "normalized": False}
SETTINGS = {
    "bos_token": {"content": "[CLS]"}, "eos_token": "[SEP]", "unk_token": None, "add_bos_token": True,
    "sep_token": "[SEP]",
}  # fmt: skip
CONFIG = {"bos_token_id": 1, "eos_token_id": [2, 3]}
TOKENS = ["[UNK]", "[CLS]", "[SEP]", "a", "b", "ab"]
SPLIT = {"type": "Split", "pattern": {"Regex": r"\d|\D+"}, "behavior": "Isolated", "invert": False}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [], "special_tokens": {},
}  # fmt: skip


def sound_file(kind: str) -> dict[str, Any]:
    vocab = {token: index for index, token in enumerate(TOKENS)}
    models: dict[str, Any] = {
        "BPE": {"vocab": vocab, "merges": [["a", "b"]], "unk_token": "[UNK]", "fuse_unk": False,
                "byte_fallback": False, "ignore_merges": False, "end_of_word_suffix": None},
        "WordPiece": {"vocab": vocab, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100},
        "Unigram": {"vocab": [[token, -1.0] for token in TOKENS], "unk_id": 0, "byte_fallback": False},
        "WordLevel": {"vocab": {"a": 0, "b": 1}, "unk_token": "a"},
    }  # fmt: skip
    normalizer: Any = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}
    pre_tokenizer: Any = {"type": "Sequence", "pretokenizers": [SPLIT, BYTE_LEVEL]}
    if kind == "WordPiece":
        normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                      "strip_accents": None, "lowercase": True}  # fmt: skip
        pre_tokenizer = {"type": "BertPreTokenizer"}
    if kind == "Unigram":
        pre_tokenizer = {
            "type": "Metaspace",
            "replacement": "\u2581",
            "prepend_scheme": "first",
            "split": True,
        }
    if kind == "WordLevel":
        normalizer, pre_tokenizer = None, {**SPLIT, "pattern": {"Regex": r"[\s\S]"}}
    added = [{"id": i, "content": TOKENS[i], "special": i < 2, **FLAGS} for i in range(3)]
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": normalizer,
        "added_tokens": [] if kind == "WordLevel" else added, "pre_tokenizer": pre_tokenizer,
        "post_processor": {"type": "Sequence", "processors": [BYTE_LEVEL, TEMPLATE]}, "decoder": None,
        "model": {"type": kind, **models[kind]},
    }  # fmt: skip


def variants(node: Any) -> Iterator[Any]:
    """Copies of a JSON value with one node replaced, or removed from its object."""
    for value in VALUES:
        yield value
    if isinstance(node, dict):
        for key in node:
            yield {other: item for other, item in node.items() if other != key}
            for value in variants(node[key]):
                yield {**node, key: value}
    if isinstance(node, list):
        for index in {0, len(node) - 1} & set(range(len(node))):
            for value in variants(node[index]):
                yield [*node[:index], value, *node[index + 1 :]]


def problem_of(content: Any, settings: Any, config: Any) -> str | None:
    """The message of the BadModelFile, or None if the tokenizer loads."""
    try:
        metadata = gguf_metadata(content, settings, config, len(TOKENS), name="m/tokenizer.json")
        tokenizer = load_tokenizer(SimpleNamespace(metadata=metadata, paths=["m/tokenizer.json"]))
        tokenizer.encode("ab [CLS] ")
    except BadModelFile as error:
        return str(error)
    return None


def check(content: Any, settings: Any, config: Any) -> bool:
    """Whether the tokenizer loads; if not, the error names the file."""
    problem = problem_of(content, settings, config)
    if problem is None:
        return True
    assert problem.startswith(("m/tokenizer.json: ", "m/tokenizer_config.json: ", "m/config.json: "))
    assert problem.isprintable()
    assert len(problem) < 800
    return False


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["BPE", "WordPiece", "Unigram", "WordLevel"])
def test_every_replaced_node_loads_or_is_named(kind: str, capfd: Any) -> None:
    sound = sound_file(kind)
    if kind != "WordLevel":
        assert check(sound, SETTINGS, CONFIG)
    results = [check(content, SETTINGS, CONFIG) for content in variants(sound) if isinstance(content, dict)]
    assert len(results) > 500
    assert not all(results)
    assert capfd.readouterr().err == ""


def test_settings_and_config_of_wrong_types_load_or_are_named() -> None:
    for settings in variants(SETTINGS):
        if isinstance(settings, dict):
            check(sound_file("WordPiece"), settings, CONFIG)
            check(sound_file("BPE"), settings, {})
    for config in variants(CONFIG):
        if isinstance(config, dict):
            check(sound_file("BPE"), {}, config)


@pytest.mark.parametrize(("path", "value", "field"), [
    (("added_tokens",), 7, "`added_tokens` must be a list, not 7"),
    (("added_tokens", 0), None, "`added_tokens[0].content` is missing"),
    (("added_tokens", 0), 1.5, "`added_tokens[0]` must be an object, not 1.5"),
    (("pre_tokenizer", "pretokenizers"), 7, "`pre_tokenizer.pretokenizers` must be a list, not 7"),
    (("pre_tokenizer", "pretokenizers", 0), float("nan"), "pretokenizers[0]` must be an object, not nan"),
    (("normalizer", "normalizers"), 5, "`normalizer.normalizers` must be a list, not 5"),
    (("post_processor", "processors"), 5, "`post_processor.processors` must be a list, not 5"),
    (("model", "merges"), 5, "`model.merges` must be a list, not 5"),
    (("model", "merges", 0), ["a"], "`model.merges[0]` must join two tokens"),
    (("model", "merges", 0), ["a", "a"], "`model.merges[0]` must join two tokens"),
    (("model", "merges", 0), "[UNK] [SEP]", "`model.merges[0]` must join two tokens"),
    (("model",), None, "`model` is missing"),
    (("model", "vocab", "a"), 1.5, "`model.vocab` gives token 'a' the id 1.5"),
])  # fmt: skip
def test_the_error_names_the_field(path: tuple[Any, ...], value: Any, field: str, tmp_path: Path) -> None:
    content = copy.deepcopy(sound_file("BPE"))
    node: Any = content
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(BadModelFile) as error:
        gguf_metadata(content, {}, {}, len(TOKENS))
    assert field in str(error.value)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(BadModelFile, match=r"tokenizer\.json"):
        load_tokenizer_json(tmp_path / "tokenizer.json")


def test_a_field_shows_at_most_a_few_characters_of_a_wrong_value() -> None:
    error = JsonField({"a": "x" * 10_000}, "f.json")["a"].error("is wrong")
    assert str(error) == "f.json: `a` is wrong"
    with pytest.raises(BadModelFile, match=r"must be a list, not 'x+\.{0,3}") as shown:
        JsonField({"a": "x" * 10_000}, "f.json")["a"].as_list()
    assert len(str(shown.value)) < 100
