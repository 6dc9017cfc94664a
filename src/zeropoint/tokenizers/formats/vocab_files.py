"""Tokenizers out of published vocabulary files, all of the class that a GGUF file gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.core.metadata_reader import MAX_TOKENS
from zeropoint.tokenizers.formats.from_hf import gguf_metadata, has_second_space
from zeropoint.tokenizers.formats.gguf import Tokenizer, load_tokenizer
from zeropoint.tokenizers.formats.sentencepiece import sentencepiece_metadata

__all__ = ["load_gpt2_files", "load_sentencepiece", "load_tokenizer_json"]

MAX_FILE = 1 << 28  # bytes; the largest tokenizer.json in use has about 2**25
GPT2_END = "<|endoftext|>"


def load_gpt2_files(encoder_json: Path, vocab_bpe: Path) -> Tokenizer:
    """GPT-2's vocabulary (token to id) and its merges (a line each, best first).

    Raises BadModelFile naming the file and what is wrong with it.
    """
    ids = _json(encoder_json)
    lines = _read(vocab_bpe).decode("utf-8", "replace").split("\n")
    begin = 1 if lines[0].startswith("#version") else 0
    merges = [line.removesuffix("\r") for line in lines[begin:]]
    tokens = [""] * len(ids)
    for token, index in ids.items():
        if type(index) is not int or not 0 <= index < len(ids) or tokens[index]:
            raise BadModelFile(
                f"{encoder_json}: the id {index!r:.30} of {token!r:.60} must be one of its own "
                f"from 0 to {len(ids) - 1}"
            )
        tokens[index] = token
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token == GPT2_END else 1 for token in tokens],
        "tokenizer.ggml.merges": [merge for merge in merges if merge],
    }
    if GPT2_END in ids:
        metadata["tokenizer.ggml.bos_token_id"] = metadata["tokenizer.ggml.eos_token_id"] = ids[GPT2_END]
    return _made(metadata, encoder_json)


def load_tokenizer_json(path: Path, settings: Path | None = None) -> Tokenizer:
    """A `tokenizer.json` of Hugging Face with a Llama or byte-level BPE vocabulary.

    settings: the `tokenizer_config.json` that names begin and end tokens; by default the one beside it.
    Raises BadModelFile naming the file and what in it is not understood.
    """
    beside = path.with_name("tokenizer_config.json")
    settings = beside if settings is None and beside.is_file() else settings
    content = _json(path)
    ids = [*_ids(content.get("model")), *_added_ids(content.get("added_tokens"))]
    n_vocab = max(ids, default=-1) + 1
    if not 0 < n_vocab <= MAX_TOKENS:
        raise BadModelFile(f"{path}: ids up to {n_vocab - 1} where 0 to {MAX_TOKENS - 1} make sense")
    named = {} if settings is None else _json(settings)
    try:
        metadata = gguf_metadata(content, named, {}, n_vocab, name=str(path))
        second_space = has_second_space(content)
    except (TypeError, AttributeError, ValueError) as failure:
        raise BadModelFile(f"{path}: a part of it has the wrong type: {failure}") from None
    return _made(metadata, path, second_space)


def load_sentencepiece(path: Path) -> Tokenizer:
    """A `tokenizer.model` of SentencePiece with Llama's kind of vocabulary.

    Raises BadModelFile naming the file and what is wrong with it.
    """
    return _made(sentencepiece_metadata(_read(path), str(path)), path)


def _made(metadata: Mapping[str, Any], path: Path, second_space: bool = True) -> Tokenizer:
    return load_tokenizer(SimpleNamespace(metadata=metadata, paths=[path]), second_space=second_space)


def _ids(model: Any) -> list[int]:
    vocab = model.get("vocab") if isinstance(model, dict) else None
    return [index for index in vocab.values() if type(index) is int] if isinstance(vocab, dict) else []


def _added_ids(added: Any) -> list[int]:
    entries = [entry for entry in added if isinstance(entry, dict)] if isinstance(added, list) else []
    return [entry["id"] for entry in entries if type(entry.get("id")) is int]


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read(path))
    except (ValueError, RecursionError) as failure:
        raise BadModelFile(f"{path}: no JSON: {failure}") from None
    if not isinstance(content, dict):
        raise BadModelFile(f"{path}: an object is needed, not {type(content).__name__}")
    return content


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise BadModelFile(f"{path}: there is no such file")
        if path.stat().st_size > MAX_FILE:
            raise BadModelFile(f"{path}: too large for a vocabulary (at most {MAX_FILE >> 20} MiB)")
        return path.read_bytes()
    except OSError as failure:
        raise BadModelFile(f"{path}: cannot be read: {failure}") from None
