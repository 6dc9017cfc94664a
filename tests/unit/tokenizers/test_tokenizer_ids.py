"""Ids equal to Hugging Face's on thousands of lines, and round trips."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import pytest

from zeropoint.errors import BadInput
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.pretokenizers import pre_tokenizers


def write_vocabulary(path: Path, metadata: dict[str, Any]) -> None:
    """Write a GGUF file with a llama model's sizes and this vocabulary but no weights."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    for key in (
        "context_length",
        "embedding_length",
        "block_count",
        "feed_forward_length",
        "attention.head_count",
    ):
        writer.add_uint32(f"llama.{key}", 8)
    for key, value in metadata.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        else:
            writer.add_uint32(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_smollm2s_ids_equal_those_of_transformers(
    smollm2: Any, smollm2_reference: Any, varied_lines: Any
) -> None:
    theirs = smollm2_reference.backend_tokenizer
    lines = varied_lines([smollm2.token_text(index) for index in sorted(smollm2.control_ids)])
    assert len(lines) > 5000
    for line in lines:
        assert smollm2.encode(line, parse_special=True) == theirs.encode(line, add_special_tokens=False).ids
    theirs.encode_special_tokens = True
    try:
        for line in lines:
            ids = smollm2.encode(line)
            assert ids == theirs.encode(line, add_special_tokens=False).ids
            assert not smollm2.control_ids & set(ids)
    finally:
        theirs.encode_special_tokens = False


def test_smollm2s_known_ids(smollm2: Any) -> None:
    assert smollm2.encode("Hello world! 123") == [19556, 905, 17, 216, 33, 34, 35]
    assert smollm2.encode("  multiple   spaces") == [216, 2701, 256, 5600]
    assert (smollm2.n_vocab, smollm2.bos_id, smollm2.eos_id, smollm2.add_bos) == (49152, 1, 2, False)
    assert smollm2.stop_ids == {0, 2, 4}  # <|endoftext|>, <|im_end|>, <reponame>


@pytest.mark.heavy
def test_gpt2s_ids_equal_those_of_transformers(gpt2_metadata: Any, model: Any, varied_lines: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import GPT2Tokenizer

        ids = {token: index for index, token in enumerate(gpt2_metadata["tokenizer.ggml.tokens"])}
        merges = [tuple(merge.split()) for merge in gpt2_metadata["tokenizer.ggml.merges"]]
        theirs = GPT2Tokenizer(vocab=ids, merges=merges).backend_tokenizer
    ours = load_tokenizer(model(gpt2_metadata))
    assert ours.stop_ids == {50256}
    for line in varied_lines(["<|endoftext|>"]):
        got = ours.encode(line, parse_special=True)
        assert got == theirs.encode(line, add_special_tokens=False).ids
        assert ours.decode(got) == line


@pytest.mark.heavy
def test_llamas_ids_equal_those_of_transformers(
    sentencepiece_metadata: Any, model: Any, varied_lines: Any, tmp_path: Path, transformers_tokenizer: Any
) -> None:
    from tokenizers import normalizers, pre_tokenizers

    metadata = sentencepiece_metadata()
    write_vocabulary(tmp_path / "tiny.gguf", metadata)
    theirs = transformers_tokenizer(tmp_path / "tiny.gguf").backend_tokenizer
    # transformers' conversion adds no prefix before a space; Llama's tokenizer.json and SentencePiece do.
    theirs.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    theirs.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    ours = load_tokenizer(model(metadata))
    assert ours.add_bos
    text = "the quick brown fox\n naïve café  你好 世界 мир, isn't it? 300 "
    for line in [*varied_lines(["<s>", "</s>", "<unk>"]), text, " " + text, text.upper()]:
        got = ours.encode(line, parse_special=True)
        assert got == theirs.encode(line, add_special_tokens=False).ids, line
        assert not ours.control_ids & set(ours.encode(line))
    assert ours.decode(ours.encode(text)) == text
    assert len(ours.encode("the quick brown fox")) == 4


def test_llama_without_a_space_prefix(sentencepiece_metadata: Any, model: Any) -> None:
    metadata = sentencepiece_metadata() | {"tokenizer.ggml.add_space_prefix": False}
    tokenizer = load_tokenizer(model(metadata))
    assert tokenizer.decode(tokenizer.encode(" the")) == " the"
    assert tokenizer.encode("fox") != tokenizer.encode(" fox")


def test_a_continuation_gets_no_space_prefix(tiny_llama: Any) -> None:
    assert tiny_llama.encode("fox") == tiny_llama.encode(" fox", is_continuation=True)
    assert tiny_llama.decode(tiny_llama.encode("fox"), is_continuation=True) == " fox"


@pytest.mark.parametrize(
    ("pre", "words"),
    [
        ("gpt-2", "I|'|LL| pay| 12345|\n | x"),
        ("smollm", "I|'|LL| pay| |1|2|3|4|5|\n | x"),
        ("llama-bpe", "I|'LL| pay| |123|45|\n| | x"),
        ("qwen2", "I|'LL| pay| |1|2|3|4|5|\n| | x"),
        ("qwen35", "I|'LL| pay| |1|2|3|4|5|\n| | x"),
        ("tekken", "I|'LL| pay| |1|2|3|4|5|\n| | x"),
        ("gpt-4o", "I'LL| pay| |123|45|\n| | x"),
        ("deepseek-v3", "I|'LL| pay| |123|45|\n| | x"),
    ],
)
def test_each_pre_tokenizer_splits_words(pre: str, words: str, byte_metadata: Any, model: Any) -> None:
    tokenizer = load_tokenizer(model(byte_metadata(pre)))
    text = words.replace("|", "")
    spans = [span for _, span in tokenizer._encoders.plain.pre_tokenizer.pre_tokenize_str(text)]
    assert "|".join(text[start:end] for start, end in spans) == words


@pytest.mark.heavy
def test_every_pre_tokenizer_round_trips(byte_metadata: Any, model: Any, varied_lines: Any) -> None:
    lines = varied_lines(["<|im_end|>", "<think>"])[:150]
    with pytest.raises(BadInput) as error:
        load_tokenizer(model(byte_metadata("lama-bpe\x1b[0m")))
    assert "such as llama-bpe" in str(error.value)
    known = pre_tokenizers()
    assert len(known) > 80
    for pre in {id(steps): name for name, steps in known.items()}.values():
        tokenizer = load_tokenizer(model(byte_metadata(pre)))
        for line in lines:
            text = tokenizer.decode(tokenizer.encode(line))
            assert text == line or text == unicodedata.normalize("NFC", line)
            assert tokenizer.decode(tokenizer.encode(line, parse_special=True)) == text


def test_text_never_encodes_to_a_control_token(tiny: Any) -> None:
    text = "a<|im_start|>system<|im_end|><think>"
    ids = tiny.encode(text)
    assert tiny.decode(ids) == text
    assert not tiny.control_ids & set(ids)
    assert tiny.encode("<think>") == [4]  # user-defined tokens may occur in text
    assert tiny.encode(text, parse_special=True)[1] == 1
    assert tiny.control_spans("é<|im_end|>") == [(1, 11, 2)]


def test_merges_that_spell_a_control_or_byte_token_are_dropped(
    sentencepiece_metadata: Any, model: Any
) -> None:
    metadata = sentencepiece_metadata()
    for token in ("<", ">", "s>", "x", "A", "<0", "x0A>", "x0", "x0A", "0A"):
        if token not in metadata["tokenizer.ggml.tokens"]:
            metadata["tokenizer.ggml.tokens"].append(token)
            metadata["tokenizer.ggml.token_type"].append(1)
            metadata["tokenizer.ggml.scores"].append(-1000.0)
    tokenizer = load_tokenizer(model(metadata))
    assert tokenizer.decode(tokenizer.encode("<s> <0x0A>")) == "<s> <0x0A>"
    assert not tokenizer.control_ids & set(tokenizer.encode("<s></s><unk>"))
    assert tokenizer.encode("<s>", parse_special=True) == [1]


def test_encoding_in_chunks_gives_the_same_ids(tiny: Any, tiny_llama: Any, monkeypatch: Any) -> None:
    text = "hello <|im_end|> the fox <think> world\n\n  or 12345 " * 40 + "a" * 3000 + "<|im_start|>" * 200
    for tokenizer in (tiny, tiny_llama):
        for parse_special in (False, True):
            ids = tokenizer.encode(text, parse_special=parse_special)
            with monkeypatch.context() as patch:
                patch.setattr("zeropoint.tokenizers.core.tokenizer._CHUNK_CHARS", 50)
                patch.setattr("zeropoint.tokenizers.core.tokenizer._MAX_CHUNK_CHARS", 4000)
                assert tokenizer.encode(text, parse_special=parse_special) == ids


def test_decoding(tiny: Any) -> None:
    assert tiny.decode([]) == ""
    assert tiny.encode("") == []
    assert tiny.decode([1, *tiny.encode("é"), 2]) == "<|im_start|>é<|im_end|>"
    assert tiny.decode([1, *tiny.encode("é"), 2], skip_special_tokens=True) == "é"
    assert tiny.decode(tiny.encode("é")[:1]) == "\ufffd"
    assert tiny.token_bytes(tiny.encode("\xff")[0]) == b"\xc3"
    assert tiny.token_text(None) == ""


def test_importing_loads_no_heavy_modules() -> None:
    code = (
        "import sys, zeropoint.tokenizers.formats.gguf, zeropoint.tokenizers.chat.prompt as p; "
        "sys.exit(bool({'tokenizers', 'jinja2', 'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
