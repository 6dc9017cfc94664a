"""Build the library's tokenizers from a model, the steps of a pipeline and a vocabulary's added tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zeropoint.tokenizers.core.added_tokens import added_tokens, token_scanner
from zeropoint.tokenizers.core.pipeline import Pipeline
from zeropoint.tokenizers.core.tokenizer import Encoders
from zeropoint.tokenizers.core.vocabulary import Vocabulary

if TYPE_CHECKING:
    import tokenizers

__all__ = ["build_encoder", "pipeline_encoders"]


def build_encoder(
    model: Any,
    pipeline: Pipeline,
    control: Sequence[tokenizers.AddedToken],
    user: Sequence[tokenizers.AddedToken],
) -> tokenizers.Tokenizer:
    """A tokenizer of the library. model: one of its `models`. control, user: the added tokens it finds."""
    from tokenizers import Tokenizer

    encoder = Tokenizer(model)
    pipeline.set_steps(encoder)  # before the added tokens, which it normalizes
    encoder.add_special_tokens(list(control))
    encoder.add_tokens(list(user))
    return encoder


def pipeline_encoders(
    vocabulary: Vocabulary, pipeline: Pipeline, plain: Any, special: Any, *, spans_words: bool
) -> Encoders:
    """Encoders whose text continues as it begins. plain, special: models without and with control tokens."""
    control, user = added_tokens(vocabulary)
    plain_encoder = build_encoder(plain, pipeline, [], user)
    special_encoder = build_encoder(special, pipeline, control, user)
    return Encoders(
        plain_encoder,
        special_encoder,
        continuation=plain_encoder,
        scanner=token_scanner(vocabulary, special_encoder.normalizer),
        spans_words=spans_words,
        may_panic=pipeline.may_panic,
    )
