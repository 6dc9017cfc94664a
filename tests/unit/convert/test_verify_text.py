"""Verification of a conversion's text: a tokenizer that gives other ids than its source is never written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import processors

from tests.support.tiny import write_tiny_model
from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from tests.support.tiny_run import TINY_RUNS, write_tiny_run
from tests.support.tiny_tokenizers import TOKENIZERS
from zeropoint.convert import model_metadata, verify_text
from zeropoint.convert.convert import convert
from zeropoint.convert.text_sample import SAMPLE
from zeropoint.data.text_codec import train_codec
from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.formats import from_hf
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.weights.gguf.reader import open_gguf

Metadata = dict[str, Any]


@pytest.fixture(autouse=True)
def no_smoke_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are not the subject here."""
    monkeypatch.setattr("zeropoint.convert.convert.smoke_test", lambda *arguments: True)


def write_folder(folder: Path, tokenizer: dict[str, Any], **settings: Any) -> None:
    config = {**CONFIGS["llama"], "vocab_size": len(tokenizer["model"]["vocab"])}
    write_tiny_folder(folder, config)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_published_tokenizer_keeps_its_ids(name: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "a", TOKENIZERS[name]())
    notices: list[str] = []
    convert(tmp_path / "a", tmp_path / "b.gguf", notify=notices.append)
    reported = {
        "phi 3": "the flag rstrip of added tokens",
        "mistral 0.3": "a space only before the first word",
    }
    assert [reported[name] in notice for notice in notices] == [True] * (name in reported)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "a" / "tokenizer.json"))
    ours = load_tokenizer(open_gguf(tmp_path / "b.gguf"))
    control = sorted(library.get_added_tokens_decoder().values(), key=lambda token: token.content)
    for text in (*SAMPLE, *(f"hi {token.content}\n hi{token.content} ab" for token in control)):
        assert ours.encode(text, parse_special=True) == library.encode(text, add_special_tokens=False).ids, (
            text
        )
    convert(tmp_path / "b.gguf", tmp_path / "c")
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "c" / "tokenizer.json"))
    for text in SAMPLE:
        assert (
            again.encode(text, add_special_tokens=False).ids
            == library.encode(text, add_special_tokens=False).ids
        )


def swap_two_tokens(metadata: Metadata) -> None:
    tokens = metadata["tokenizer.ggml.tokens"]
    i, j = tokens.index("h"), tokens.index("i")
    tokens[i], tokens[j] = tokens[j], tokens[i]


def lose_a_merge(metadata: Metadata) -> None:
    del metadata["tokenizer.ggml.merges"][0]


def lose_a_byte_token(metadata: Metadata) -> None:
    tokens = metadata["tokenizer.ggml.tokens"]
    tokens[tokens.index("<0x09>")] = "tab"


def lose_the_space_prefix(metadata: Metadata) -> None:
    metadata["tokenizer.ggml.add_space_prefix"] = False


def type_a_control_token_as_text(metadata: Metadata) -> None:
    metadata["tokenizer.ggml.token_type"][metadata["tokenizer.ggml.tokens"].index("[A]")] = 1


def begin_with_a_token(metadata: Metadata) -> None:
    metadata["tokenizer.ggml.bos_token_id"] = metadata["tokenizer.ggml.tokens"].index("<s>")
    metadata["tokenizer.ggml.add_bos_token"] = True


def lose_the_end_token(metadata: Metadata) -> None:
    for key in [key for key in metadata if key.split(".")[-1] in ("eos_token_id", "eos_token_ids")]:
        del metadata[key]


def change_the_template(metadata: Metadata) -> None:
    metadata["tokenizer.chat_template"] = "{{ 1 }}"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (swap_two_tokens, "would get other token ids than from its source"),
        (lose_a_merge, "would get other token ids than from its source"),
        (
            lose_a_byte_token,
            "because its tokenizer could not be opened: .*byte token",
        ),
        (lose_the_space_prefix, "would get other token ids than from its source"),
        (type_a_control_token_as_text, r"the text 'a \[A\] b.* would get other token ids"),
        (lose_the_end_token, r"answers would no longer end at '\[B\]'"),
        (begin_with_a_token, "a text would begin with '<s>' instead of 'no special token'"),
        (change_the_template, "its chat template is not that of its source"),
    ],
)
def test_a_damaged_vocabulary_is_refused(
    damage: Callable[[Metadata], None], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = TOKENIZERS["llama 2"]()
    for token in ("[A]", "[B]"):
        index = len(tokenizer["model"]["vocab"])
        tokenizer["model"]["vocab"][token] = index
        tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": index, "content": token})
    write_folder(tmp_path / "a", tokenizer, eos_token="[B]", chat_template="{{ messages[0].content }}")
    convert(tmp_path / "a", tmp_path / "whole.gguf")
    original = from_hf.gguf_metadata

    def damaged(*arguments: Any, **named: Any) -> Metadata:
        metadata = original(*arguments, **named)
        damage(metadata)
        return metadata

    monkeypatch.setattr(model_metadata.from_hf, "gguf_metadata", damaged)
    with pytest.raises(BadModelFile, match=words) as refusal:
        convert(tmp_path / "a", tmp_path / "b.gguf")
    assert refusal.value.exit_code == 2
    assert str(refusal.value).startswith(f"{tmp_path / 'b.gguf'} was not written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "whole.gguf"]


def test_a_damaged_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_model(tmp_path / "a.gguf")
    original = model_metadata.hf_tokenizer_files

    def damaged(*arguments: Any) -> dict[str, bytes]:
        files = original(*arguments)
        content = json.loads(files["tokenizer.json"])
        content["model"]["merges"] = []
        return files | {"tokenizer.json": json.dumps(content).encode()}

    monkeypatch.setattr(model_metadata, "hf_tokenizer_files", damaged)
    with pytest.raises(BadModelFile, match=r"b was not written: the text .* would get other token ids"):
        convert(tmp_path / "a.gguf", tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("target", ["b.gguf", "b"])
def test_the_text_of_a_run_is_compared(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_run(tmp_path / "run", TINY_RUNS["llama"])
    compared: list[str] = []
    original = verify_text._texts
    monkeypatch.setattr(verify_text, "_texts", lambda view: compared.append(view.alphabet) or original(view))
    convert(tmp_path / "run", tmp_path / target)
    assert "ROMEO"[0] in compared[0]
    assert "😀" in compared[0]


@pytest.mark.parametrize("kind", ["characters", "bpe"])
def test_a_run_with_an_end_token_converts_to_a_folder_and_on(kind: str, tmp_path: Path) -> None:
    codec = train_codec(kind, ["to be, or not to be\n" * 9], n_vocab=280, has_end=True)
    write_tiny_run(tmp_path / "run", replace(TINY_RUNS["llama"], n_vocab=codec.n_vocab))
    codec.save(tmp_path / "run" / "tokenizer.json")
    convert(tmp_path / "run", tmp_path / "a")
    convert(tmp_path / "a", tmp_path / "b.gguf")
    tokenizer = load_tokenizer(open_gguf(tmp_path / "b.gguf"))
    assert tokenizer.stop_ids == {codec.end_id}
    assert tokenizer.encode("or not") == codec.encode("or not")


def test_differences_around_text_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other padding, and a token after a document, change no id of a text."""
    write_folder(tmp_path / "a", TOKENIZERS["llama 2"](), eos_token="</s>", pad_token="</s>")
    original = from_hf.gguf_metadata

    def changed(*arguments: Any, **named: Any) -> Metadata:
        ignored = ("tokenizer.ggml.padding_token_id",)
        metadata = original(*arguments, **named) | {"tokenizer.ggml.add_eos_token": True}
        return {key: value for key, value in metadata.items() if key not in ignored}

    monkeypatch.setattr(model_metadata.from_hf, "gguf_metadata", changed)
    notices: list[str] = []
    convert(tmp_path / "a", tmp_path / "b.gguf", notify=notices.append)
    assert notices == [
        "not preserved: the padding token, '</s>'",
        "not preserved: a document ends with '</s>' in the result, but not in the source",
    ]


@pytest.mark.parametrize("ends", [(["<s>"], []), ([], ["</s>"]), (["<s>"], ["</s>"]), None])
def test_tokens_around_a_document_survive_there_and_back(
    ends: tuple[list[str], list[str]] | None, tmp_path: Path
) -> None:
    made = TOKENIZERS["llama 2"]()
    settings: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>"}
    begin, end = ends or (["<s>"], [])
    if ends is None:  # transformers reads this if there is no post-processor
        settings["add_bos_token"] = True
    else:
        library = tokenizers.Tokenizer.from_str(json.dumps(made))
        special = [("<s>", 1), ("</s>", 2)]
        library.post_processor = processors.TemplateProcessing(
            single=[*begin, "$A", *end], pair=None, special_tokens=special
        )
        made = json.loads(library.to_str())
    write_folder(tmp_path / "a", made, **settings)
    notices: list[str] = []
    convert(tmp_path / "a", tmp_path / "b.gguf", notify=notices.append)
    convert(tmp_path / "b.gguf", tmp_path / "c", notify=notices.append)
    assert notices == []
    written = tokenizers.Tokenizer.from_file(str(tmp_path / "c" / "tokenizer.json")).encode("a")
    n_inside = len(written.ids) - len(begin) - len(end)
    assert written.special_tokens_mask == [1] * len(begin) + [0] * n_inside + [1] * len(end)


def test_a_copied_tokenizer_that_zeropoint_cannot_use_is_reported(tmp_path: Path) -> None:
    from gguf import GGUFValueType

    extra = {"tokenizer.ggml.pre": ("of-tomorrow", GGUFValueType.STRING)}
    write_tiny_model(tmp_path / "a.gguf", extra=extra)
    notices: list[str] = []
    convert(tmp_path / "a.gguf", tmp_path / "b.gguf", notify=notices.append)
    assert (
        "the tokenizer is copied, but zeropoint cannot use it: tokenizer.ggml.pre: unknown pre-" in notices[0]
    )


def test_json_files_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", next(iter(TOKENIZERS.values()))())
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        path = tmp_path / "folder" / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    convert(tmp_path / "folder", tmp_path / "out.gguf")
    assert load_tokenizer(open_gguf(tmp_path / "out.gguf")).n_vocab > 0
