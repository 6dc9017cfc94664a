"""The `tokenizer.json` of a training run: characters (char.py), or what Hugging Face's library writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.char import KIND, CharTokenizer
from zeropoint.tokenizers.files import MAX_FILE
from zeropoint.tokenizers.from_hf import gguf_metadata

__all__ = ["trained_metadata"]


def trained_metadata(path: Path, n_vocab: int) -> dict[str, Any]:
    """The `tokenizer.*` keys of a GGUF file with this vocabulary. n_vocab: rows of the embedding.

    Raises BadModelFile naming the file and what is wrong with it.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise ValueError(f"it is too large for a vocabulary (at most {MAX_FILE >> 20} MiB)")
        content: Any = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("an object is needed")
    except (OSError, ValueError, RecursionError) as failure:
        raise BadModelFile(f"{path}: no tokenizer: {failure}") from None
    if content.get("kind") != KIND:
        return gguf_metadata(content, {}, {}, n_vocab, name=str(path))
    characters = CharTokenizer.load(path)
    if characters.n_vocab != n_vocab:
        raise BadModelFile(
            f"{path}: {characters.n_vocab} characters, and the model's embedding has {n_vocab} rows; they "
            "are of different runs"
        )
    return characters.metadata()
