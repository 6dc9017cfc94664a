"""Word-level vocabularies on Hugging Face `tokenizers`: a word is a token, or the unknown token.

GGUF has no name for them. Our files call them `gpt2` without merges, and say `word_level` in their pipeline.
"""

from __future__ import annotations

from typing import Any

from zeropoint.tokenizers.core.pipeline import PIPELINE_KEY, Pipeline
from zeropoint.tokenizers.core.tokenizer import Encoders
from zeropoint.tokenizers.core.vocabulary import Vocabulary
from zeropoint.tokenizers.formats.encoders import pipeline_encoders
from zeropoint.tokenizers.formats.hf_pipeline import read_pipeline
from zeropoint.tokenizers.formats.json_field import JsonField

__all__ = ["word_encoders", "word_metadata"]


def word_encoders(vocabulary: Vocabulary, pipeline: Pipeline) -> Encoders:
    """Build the encoders."""
    from tokenizers import models

    unknown = str(pipeline.model.get("unk_token", ""))
    hidden = {vocabulary.tokens[index] for index in vocabulary.control_ids} - {unknown}
    visible = {token: index for token, index in vocabulary.ids.items() if token not in hidden}
    plain, special = (models.WordLevel(ids, unk_token=unknown) for ids in (visible, vocabulary.ids))
    return pipeline_encoders(vocabulary, pipeline, plain, special, spans_words=True)


def word_metadata(content: JsonField, tokens: list[str], types: list[int]) -> dict[str, Any]:
    """The keys of a tokenizer.json with a WordLevel model. tokens, types: by id."""
    unknown = content["model"]["unk_token"]
    if unknown.as_text("") not in tokens:
        raise unknown.error(f"is {unknown.value!r:.60}, which is not a token; an unknown word needs one")
    options = {"word_level": True, "unk_token": unknown.value}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": [],
        PIPELINE_KEY: read_pipeline(content, options).to_json(),
    }
