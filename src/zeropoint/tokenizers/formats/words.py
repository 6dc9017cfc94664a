"""Word-level vocabularies on Hugging Face `tokenizers`: a word is a token, or the unknown token.

GGUF has no name for them. Our files call them `gpt2` without merges, and say `word_level` in their pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zeropoint.tokenizers.core.added_tokens import added_tokens, token_scanner
from zeropoint.tokenizers.core.pipeline import PIPELINE_KEY, Pipeline
from zeropoint.tokenizers.core.tokenizer import Encoders
from zeropoint.tokenizers.core.vocabulary import Vocabulary
from zeropoint.tokenizers.formats.hf_pipeline import read_pipeline
from zeropoint.tokenizers.formats.json_field import JsonField

if TYPE_CHECKING:
    import tokenizers

__all__ = ["word_encoders", "word_metadata"]


def word_encoders(vocabulary: Vocabulary, pipeline: Pipeline) -> Encoders:
    """Build the encoders."""
    from tokenizers import Tokenizer, models

    unknown = str(pipeline.model.get("unk_token", ""))
    control, user = added_tokens(vocabulary)
    hidden = {vocabulary.tokens[index] for index in vocabulary.control_ids} - {unknown}
    visible = {token: index for token, index in vocabulary.ids.items() if token not in hidden}

    def view(ids: dict[str, int], added: list[tokenizers.AddedToken]) -> Tokenizer:
        encoder = Tokenizer(models.WordLevel(ids, unk_token=unknown))
        pipeline.set_steps(encoder)  # before the added tokens, which it normalizes
        encoder.add_special_tokens(added)
        encoder.add_tokens(user)
        return encoder

    plain, special = view(visible, []), view(vocabulary.ids, control)
    return Encoders(
        plain,
        special,
        continuation=plain,
        scanner=token_scanner(vocabulary, special.normalizer),
        spans_words=True,
        may_panic=pipeline.may_panic,
    )


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
