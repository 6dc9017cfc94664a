"""Convert a training run's `tokenizer.json` to GGUF metadata: our character format, or Hugging Face's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.files.json_text import read_json
from zeropoint.tokenizers.core.metadata_reader import MAX_FILE_BYTES
from zeropoint.tokenizers.core.special_tokens import chat_token_ids, end_of_document_id
from zeropoint.tokenizers.core.vocabulary import CONTROL
from zeropoint.tokenizers.formats.from_hf import gguf_metadata
from zeropoint.tokenizers.train.char import KIND, CharTokenizer

__all__ = ["run_metadata"]


def run_metadata(path: Path, n_vocab: int) -> dict[str, Any]:
    """The `tokenizer.*` keys for this vocabulary in a GGUF file. n_vocab: rows of the embedding.

    Raises BadModelFile naming the file and the problem, BadInput for a kind that only training supports.
    """
    try:
        content = read_json(path, MAX_FILE_BYTES)
        if not isinstance(content, dict):
            raise ValueError("it must be a JSON object")
    except (OSError, ValueError, BadInput) as failure:
        raise BadModelFile(f"{path} is not a tokenizer: {failure}") from None
    if content.get("kind", KIND) != KIND:
        raise BadInput(
            f"{path}: a model file cannot hold a tokenizer of the kind "
            f"{content['kind']!r:.40}; train with the tokenizer `characters` or `bpe` instead"
        )
    if "kind" not in content:
        return _with_default_end(gguf_metadata(content, {}, {}, n_vocab, name=str(path)))
    characters = CharTokenizer.load(path)
    if characters.n_vocab != n_vocab:
        raise BadModelFile(
            f"{path} has {characters.n_vocab} characters but the model's embedding has {n_vocab} rows; they "
            "belong to different runs"
        )
    return characters.metadata()


def _with_default_end(metadata: dict[str, Any]) -> dict[str, Any]:
    """Default BOS and EOS to the token that ends a document; llama.cpp would default to GPT-2's ids."""
    tokens, types = (metadata[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type"))
    ids = {token: index for index, token in enumerate(tokens)}
    known = chat_token_ids(ids)
    control = {token: i for token, i in ids.items() if i in known or types[i] == CONTROL}
    end = end_of_document_id(control)
    keys = ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id")
    return ({} if end is None else dict.fromkeys(keys, end)) | metadata
