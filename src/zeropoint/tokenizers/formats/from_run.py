"""The `tokenizer.json` of a training run: characters (char.py), or what Hugging Face's library writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.tokenizers.core.vocabulary import CONTROL
from zeropoint.tokenizers.formats.from_hf import gguf_metadata
from zeropoint.tokenizers.formats.vocab_files import MAX_FILE
from zeropoint.tokenizers.train.char import KIND, CharTokenizer

__all__ = ["END_TOKENS", "run_metadata"]

END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]")
"""Control tokens that end a document, the most telling first, where a tokenizer.json does not name one."""


def run_metadata(path: Path, n_vocab: int) -> dict[str, Any]:
    """The `tokenizer.*` keys of a GGUF file with this vocabulary. n_vocab: rows of the embedding.

    Raises BadModelFile naming the file and what is wrong with it, BadInput for one of training alone.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise ValueError(f"it is too large for a vocabulary (at most {MAX_FILE >> 20} MiB)")
        content: Any = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("an object is needed")
    except (OSError, ValueError, RecursionError) as failure:
        raise BadModelFile(f"{path}: no tokenizer: {failure}") from None
    if content.get("kind", KIND) != KIND:
        raise BadInput(f"{path}: a tokenizer of the kind {content['kind']!r:.40} has no form in a model file")
    if "kind" not in content:
        return _with_end(gguf_metadata(content, {}, {}, n_vocab, name=str(path)))
    characters = CharTokenizer.load(path)
    if characters.n_vocab != n_vocab:
        raise BadModelFile(
            f"{path}: {characters.n_vocab} characters, and the model's embedding has {n_vocab} rows; they "
            "are of different runs"
        )
    return characters.metadata()


def _with_end(metadata: dict[str, Any]) -> dict[str, Any]:
    """Begin and end are the token that ends a document; llama.cpp would else take the ids of GPT-2's."""
    tokens, types = (metadata[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type"))
    control = {token: i for i, (token, kind) in enumerate(zip(tokens, types, strict=True)) if kind == CONTROL}
    end = next((control[token] for token in END_TOKENS if token in control), None)
    keys = ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id")
    return ({} if end is None else dict.fromkeys(keys, end)) | metadata
