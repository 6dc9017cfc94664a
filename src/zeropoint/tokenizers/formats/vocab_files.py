"""Load tokenizers from vocabulary files as published by GPT-2, Hugging Face and SentencePiece."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.files.json_text import parse_json
from zeropoint.files.regular_file import read_regular
from zeropoint.tokenizers.core.metadata_reader import MAX_FILE_BYTES, MAX_TOKENS
from zeropoint.tokenizers.core.special_tokens import END_OF_TEXT
from zeropoint.tokenizers.formats.from_hf import gguf_metadata
from zeropoint.tokenizers.formats.gguf import Tokenizer, load_tokenizer
from zeropoint.tokenizers.formats.sentencepiece import sentencepiece_metadata

__all__ = ["load_gpt2_files", "load_sentencepiece", "load_tokenizer_json"]


def load_gpt2_files(encoder_json: Path, vocab_bpe: Path) -> Tokenizer:
    """Load GPT-2's vocabulary (token to id) and merges (one per line, highest priority first).

    Raises BadModelFile naming the file and the problem.
    """
    ids = _json(encoder_json)
    lines = _read(vocab_bpe).decode("utf-8", "replace").split("\n")
    begin = 1 if lines[0].startswith("#version") else 0
    merges = [line.removesuffix("\r") for line in lines[begin:]]
    tokens = [""] * len(ids)
    for token, index in ids.items():
        if type(index) is not int or not 0 <= index < len(ids) or tokens[index]:
            raise BadModelFile(
                f"{encoder_json}: the id {index!r:.30} of {token!r:.60} must be unique and from 0 to "
                f"{len(ids) - 1}"
            )
        tokens[index] = token
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token == END_OF_TEXT else 1 for token in tokens],
        "tokenizer.ggml.merges": [merge for merge in merges if merge],
    }
    if END_OF_TEXT in ids:
        metadata["tokenizer.ggml.bos_token_id"] = metadata["tokenizer.ggml.eos_token_id"] = ids[END_OF_TEXT]
    return _load(metadata, encoder_json)


def load_tokenizer_json(path: Path, settings: Path | None = None) -> Tokenizer:
    """Load a Hugging Face `tokenizer.json`.

    settings: the `tokenizer_config.json` that names BOS and EOS; by default the one next to it.
    Raises BadModelFile naming the file and the part that is not supported.
    """
    neighbour = path.with_name("tokenizer_config.json")
    settings = neighbour if settings is None and neighbour.is_file() else settings
    content = _json(path)
    ids = [*_ids(content.get("model")), *_added_ids(content.get("added_tokens"))]
    n_vocab = max(ids, default=-1) + 1
    if not 0 < n_vocab <= MAX_TOKENS:
        raise BadModelFile(f"{path}: the largest id is {n_vocab - 1}; it must be from 0 to {MAX_TOKENS - 1}")
    config = {} if settings is None else _json(settings)
    return _load(gguf_metadata(content, config, {}, n_vocab, name=str(path)), path)


def load_sentencepiece(path: Path) -> Tokenizer:
    """Load a SentencePiece `tokenizer.model` with a BPE vocabulary like Llama's.

    Raises BadModelFile naming the file and the problem.
    """
    return _load(sentencepiece_metadata(_read(path), str(path)), path)


def _load(metadata: Mapping[str, Any], path: Path) -> Tokenizer:
    return load_tokenizer(SimpleNamespace(metadata=metadata, paths=[path]))


def _ids(model: Any) -> list[int]:
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocab, list):  # of a unigram model, in the order of ids
        return [len(vocab) - 1]
    return [index for index in vocab.values() if type(index) is int] if isinstance(vocab, dict) else []


def _added_ids(added: Any) -> list[int]:
    entries = [entry for entry in added if isinstance(entry, dict)] if isinstance(added, list) else []
    return [entry["id"] for entry in entries if type(entry.get("id")) is int]


def _json(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(_read(path))
    except ValueError as failure:
        raise BadModelFile(f"{path} is not valid JSON: {failure}") from None
    if not isinstance(content, dict):
        raise BadModelFile(f"{path} contains a {type(content).__name__}; it must be a JSON object")
    return content


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        raise BadModelFile(f"{path} does not exist") from None
    except BadInput as failure:
        raise BadModelFile(str(failure)) from None
    except OSError as failure:
        raise BadModelFile(f"cannot read {path}: {failure}") from None
