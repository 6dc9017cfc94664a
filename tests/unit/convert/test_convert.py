"""Conversions preserve weights, blueprint and tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.support.tiny import Tiny, write_tiny_model
from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from zeropoint.convert.convert import convert
from zeropoint.engine.session.load import load
from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import open_model

TEXT = "Hello <|im_start|> wörld, don't  abc 12345\n\n\t x"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "source" / "tiny.gguf"
    path.parent.mkdir()
    write_tiny_model(path)
    return path


def tensors_of(path: Path) -> dict[str, tuple[str, bytes]]:
    model = open_gguf(path)
    return {name: (info.format, model.read(name).tobytes()) for name, info in model.tensors.items()}


@pytest.mark.parametrize("form", ["F32", "F16"])
def test_gguf_to_folder_to_gguf_is_bit_identical(form: str, tmp_path: Path):
    source = tmp_path / "tiny.gguf"
    write_tiny_model(source, Tiny(format=form, is_tied=False))
    convert(source, tmp_path / "folder")
    result = convert(tmp_path / "folder", tmp_path / "again.gguf")
    assert result.was_run
    assert tensors_of(tmp_path / "again.gguf") == tensors_of(source)
    first, second = open_gguf(source), open_gguf(tmp_path / "again.gguf")
    assert open_model(source).blueprint == open_model(tmp_path / "again.gguf").blueprint
    changed = {
        "tokenizer.ggml.eot_token_id",
        "llama.vocab_size",
        "llama.attention.key_length",
    }
    for key in first.metadata.keys() - changed:
        assert first.metadata[key] == second.metadata[key], key


@pytest.mark.heavy
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("form", ["F32", "BF16"])
def test_folder_to_gguf_to_folder_for_every_family(name: str, form: str, tmp_path: Path):
    write_tiny_folder(tmp_path / "a", CONFIGS[name], form)
    notices: list[str] = []
    result = convert(tmp_path / "a", tmp_path / "b.gguf", notify=notices.append)
    assert [notice for notice in notices if "run" in notice] == []
    assert result.was_run
    convert(tmp_path / "b.gguf", tmp_path / "c", shard_bytes=50_000)
    assert (tmp_path / "c" / "model.safetensors.index.json").exists()
    first, last = open_model(tmp_path / "a"), open_model(tmp_path / "c")
    stored, again = first.file.stored, last.file.stored
    assert stored.tensors.keys() == again.tensors.keys()
    for key in stored.tensors:
        np.testing.assert_array_equal(stored.array(key), again.array(key), err_msg=key)


@pytest.mark.parametrize("form", ["Q8_0", "Q4_0", "F16", "BF16"])
def test_quantization_equals_the_gguf_package(form: str, tiny: Path, tmp_path: Path):
    target = tmp_path / "out.gguf"
    result = convert(tiny, target, to=form.lower())
    assert result.was_run
    assert result.n_bytes == target.stat().st_size
    source, kind = open_gguf(tiny), gguf.GGMLQuantizationType
    for tensor in gguf.GGUFReader(target).tensors:
        weights = source.array(tensor.name)
        expected = kind.F32 if weights.ndim == 1 else kind[form]
        if tensor.name == "token_embd.weight" and form == "Q4_0":
            expected = kind.Q8_0  # embedding and head never go below it
        assert tensor.tensor_type == expected, tensor.name
        assert tensor.data.tobytes() == gguf.quants.quantize(weights, expected).tobytes()
    assert (
        open_gguf(target).metadata["general.file_type"] == {"Q8_0": 7, "Q4_0": 2, "F16": 1, "BF16": 32}[form]
    )


def test_unchanged_tensors_are_copied_not_repacked(tmp_path: Path):
    source = tmp_path / "q.gguf"
    write_tiny_model(source, Tiny(format="Q4_1"))
    convert(source, tmp_path / "same.gguf")
    assert tensors_of(tmp_path / "same.gguf") == tensors_of(source)
    convert(source, tmp_path / "to.gguf", to="Q4_1")
    embedding = "token_embd.weight"
    assert tensors_of(tmp_path / "to.gguf")[embedding][0] == "Q8_0"
    assert {k: v for k, v in tensors_of(tmp_path / "to.gguf").items() if k != embedding} == {
        k: v for k, v in tensors_of(source).items() if k != embedding
    }


def test_rows_that_do_not_fill_blocks_get_another_format(tmp_path: Path):
    write_tiny_model(tmp_path / "odd.gguf", Tiny(d_ff=72))
    notices: list[str] = []
    result = convert(tmp_path / "odd.gguf", tmp_path / "out.gguf", to="Q8_0", notify=notices.append)
    assert result.formats["F16"] == 2  # ffn_down of both layers has rows of 72
    assert notices == ["2 matrices become F16: their rows are not a multiple of 32"]


@pytest.mark.heavy
def test_the_tokenizer_survives_both_directions(tiny: Path, tmp_path: Path):
    from transformers import AutoTokenizer

    convert(tiny, tmp_path / "folder")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "folder")
    source = open_gguf(tiny)
    ours = load_tokenizer(source)
    assert theirs(TEXT).input_ids == ours.encode(TEXT, parse_special=True)
    assert theirs.decode(theirs(TEXT).input_ids) == TEXT
    assert (theirs.bos_token_id, theirs.eos_token_id) == (ours.bos_id, ours.eos_id)
    messages = [{"role": "user", "content": "hi"}]
    rendered = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    convert(tmp_path / "folder", tmp_path / "back.gguf")
    back = open_gguf(tmp_path / "back.gguf")
    for key in (
        "model",
        "pre",
        "tokens",
        "token_type",
        "merges",
        "bos_token_id",
        "eos_token_id",
        "add_bos_token",
    ):
        key = f"tokenizer.ggml.{key}"
        assert back.metadata[key] == source.metadata[key], key
    assert back.metadata["tokenizer.chat_template"] == source.metadata["tokenizer.chat_template"]


@pytest.mark.heavy
def test_files_are_copied_from_folder_to_folder(tiny: Path, tmp_path: Path):
    convert(tiny, tmp_path / "a")
    (tmp_path / "a" / "chat_template.jinja").write_text("{{ 1 }}")
    (tmp_path / "a" / "evil.py").write_text("raise SystemExit")
    convert(tmp_path / "a", tmp_path / "b", to="F16")
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert {path.name for path in (tmp_path / "b").iterdir()} == names - {"evil.py"}
    assert json.loads((tmp_path / "b" / "config.json").read_text())["torch_dtype"] == "float16"
    convert(tmp_path / "b", tmp_path / "c.gguf")
    assert open_gguf(tmp_path / "c.gguf").metadata["tokenizer.chat_template"] == "{{ 1 }}"


def test_llama_tokenizers_round_trip(tmp_path: Path):
    """SentencePiece BPE: scores that give the same merges again."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    merges = [("a", "b"), ("▁", "ab"), ("ab", "c")]
    tokens = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{b:02X}>" for b in range(256)),
        "▁",
        "a",
        "b",
        "c",
        "ab",
        "▁ab",
        "abc",
    ]
    model = models.BPE({t: i for i, t in enumerate(tokens)}, merges, unk_token="<unk>", byte_fallback=True)
    result = Tokenizer(model)
    result.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    result.decoder = decoders.ByteFallback()
    result.add_special_tokens(["<unk>", "<s>", "</s>"])
    config = {**CONFIGS["llama"], "vocab_size": len(tokens) + 2, "bos_token_id": 1, "eos_token_id": [2, 0]}
    write_tiny_folder(tmp_path / "a", config)
    (tmp_path / "a" / "tokenizer.json").write_text(result.to_str())
    convert(tmp_path / "a", tmp_path / "b.gguf")
    file = open_gguf(tmp_path / "b.gguf")
    assert file.metadata["tokenizer.ggml.model"] == "llama"
    assert file.metadata["tokenizer.ggml.eos_token_id"] == 2
    assert file.metadata["tokenizer.ggml.token_type"][-2:] == [5, 5]
    text = "ab abc cab é"
    assert load_tokenizer(file).encode(text) == result.encode(text).ids
    without = {key: value for key, value in file.metadata.items() if key != "tokenizer.ggml.merges"}
    assert load_tokenizer(type("Scores", (), {"metadata": without})).encode(text) == result.encode(text).ids


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("model", {"type": "Other"}, "`model.type` is 'Other', which GGUF does not support"),
        ("model", {"type": "WordLevel", "vocab": {"ab": 1.5}}, "gives token 'ab' the id 1.5"),
        ("model", {"type": "Unigram"}, "`model.vocab` is missing"),
        ("model", {"type": "Unigram", "vocab": [["a", "b"]]}, r"`model.vocab\[0\]\[1\]` must be a number"),
        (
            "model",
            {"type": "BPE", "vocab": {"a": 10**6}},
            "gives token 'a' the id 1000000; the embedding has",
        ),
        ("model", [], "`model` must be an object"),
        ("pre_tokenizer", {"type": "Space"}, "`pre_tokenizer.type` unknown step `Space`; expected one of"),
        ("normalizer", {"type": "Split"}, "`normalizer.type` unknown step `Split`; expected one of"),
    ],
)
def test_tokenizers_that_gguf_does_not_support_are_refused(
    part: str, value: object, words: str, tiny: Path, tmp_path: Path
):
    convert(tiny, tmp_path / "a")
    path = tmp_path / "a" / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: value}))
    with pytest.raises(BadModelFile, match=words):
        convert(tmp_path / "a", tmp_path / "b.gguf")
    assert not (tmp_path / "b.gguf").exists()


def test_a_tokenizer_saved_by_transformers(tiny: Path, tmp_path: Path):
    from transformers import AutoTokenizer

    convert(tiny, tmp_path / "a")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    theirs.save_pretrained(tmp_path / "b")
    convert(tmp_path / "b", tmp_path / "c.gguf")
    with load(tmp_path / "c.gguf") as model:
        assert model.tokenizer.encode(TEXT, parse_special=True) == theirs(TEXT).input_ids
        assert model.encode_chat([{"role": "user", "content": "hi"}])


def test_the_publishers_sampling_settings_travel_with_the_model(tiny: Path, tmp_path: Path):
    convert(tiny, tmp_path / "a")
    path = tmp_path / "a" / "generation_config.json"
    recommended = {
        "do_sample": True,
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
        "repetition_penalty": 1.1,
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | recommended))
    convert(tmp_path / "a", tmp_path / "b.gguf")
    convert(tmp_path / "b.gguf", tmp_path / "q.gguf", to="Q8_0")
    with load(tmp_path / "q.gguf") as model:
        assert model.defaults == {key: recommended[key] for key in recommended if key != "do_sample"}
    convert(tmp_path / "q.gguf", tmp_path / "c")
    written = json.loads((tmp_path / "c" / "generation_config.json").read_text())
    assert recommended.items() <= written.items()


def test_the_catalogues_sampling_settings_fill_in_for_missing_ones(tiny: Path, tmp_path: Path):
    extra = {"general.sampling.top_p": (0.5, gguf.GGUFValueType.FLOAT32)}
    write_tiny_model(tmp_path / "a.gguf", extra=extra)
    catalogued = {"temperature": 0.2, "top_p": 0.9}
    convert(tmp_path / "a.gguf", tmp_path / "b.gguf", sampling=catalogued)
    convert(tmp_path / "a.gguf", tmp_path / "c", sampling=catalogued)
    stored = open_gguf(tmp_path / "b.gguf").metadata
    assert (stored["general.sampling.temp"], stored["general.sampling.top_p"]) == (pytest.approx(0.2), 0.5)
    written = json.loads((tmp_path / "c" / "generation_config.json").read_text())
    assert (written["do_sample"], written["temperature"], written["top_p"]) == (True, 0.2, 0.5)
