"""T5's tokenizer: a unigram model over subwords, `tokenizer.ggml.model` = "t5" in GGUF.

Kudo 2018 (https://arxiv.org/abs/1804.10959); `train/unigram.py` trains and explains one. Text is normalized
by SentencePiece's `precompiled_charsmap` (NFKC and more), then split at white space.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from zeropoint.tokenizers.core.added_tokens import hidden_name
from zeropoint.tokenizers.core.pipeline import PIPELINE_KEY, SPACE, Pipeline, Step
from zeropoint.tokenizers.core.tokenizer import Encoders
from zeropoint.tokenizers.core.vocabulary import UNUSED, Vocabulary
from zeropoint.tokenizers.formats.encoders import pipeline_encoders
from zeropoint.tokenizers.formats.hf_pipeline import read_pipeline
from zeropoint.tokenizers.formats.json_field import JsonField

__all__ = ["t5_encoders", "unigram_metadata", "unigram_pieces"]

_UNREACHABLE_SCORE = -1e6  # nats
_UNUSED_SCORE = -1e4  # as in llama.cpp's converter


def t5_encoders(vocabulary: Vocabulary) -> Encoders:
    """Build the encoders. Raises ValueError, or the library's error, for tokens it rejects."""
    from tokenizers import models

    if "unk" not in vocabulary.special:
        raise ValueError("a unigram vocabulary needs an unknown token")
    pieces = list(zip(vocabulary.tokens, vocabulary.scores, strict=True))
    unreachable = {index: (hidden_name(index), _UNREACHABLE_SCORE) for index in vocabulary.control_ids}
    hidden = [unreachable.get(index, piece) for index, piece in enumerate(pieces)]
    unknown, has_bytes = vocabulary.special["unk"], bool(vocabulary.byte_ids)
    plain, special = (
        models.Unigram(vocab, unk_id=unknown, byte_fallback=has_bytes) for vocab in (hidden, pieces)
    )
    pipeline = vocabulary.pipeline or _default_pipeline(vocabulary)
    return pipeline_encoders(
        vocabulary, pipeline, plain, special, spans_words=vocabulary.pipeline is not None
    )


def _default_pipeline(vocabulary: Vocabulary) -> Pipeline:
    """The steps that GGUF's own keys describe."""
    normalizer = [
        {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(vocabulary.charsmap).decode()}
    ]
    scheme = "always" if vocabulary.add_space_prefix else "never"
    steps: list[Step] = [{"type": "WhitespaceSplit"}] if vocabulary.removes_extra_whitespace else []
    steps.append({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": True})
    return Pipeline(normalizer if vocabulary.charsmap else [], steps)


def unigram_metadata(content: JsonField, tokens: Sequence[str], types: Sequence[int]) -> dict[str, Any]:
    """The `tokenizer.ggml.*` keys of a tokenizer.json with a Unigram model. tokens, types: by id."""
    model = content["model"]
    scores = dict(unigram_pieces(model))
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.scores": [
            _UNUSED_SCORE if kind == UNUSED else scores.get(token, 0.0)
            for token, kind in zip(tokens, types, strict=True)
        ],
        "tokenizer.ggml.token_type": list(types),
    }
    pipeline = read_pipeline(content, {})
    return metadata | _step_keys(pipeline)


def _step_keys(pipeline: Pipeline) -> dict[str, Any]:
    """GGUF's keys for a character map, a split at white space and SentencePiece's space; else our own."""
    keys: dict[str, Any] = {
        "tokenizer.ggml.add_space_prefix": pipeline.continuation() != pipeline,
        "tokenizer.ggml.remove_extra_whitespaces": False,
    }
    charsmap = ""
    match list(pipeline.normalizer):
        case []:
            pass
        case [{"type": "Precompiled", "precompiled_charsmap": str(charsmap)}]:
            keys["tokenizer.ggml.precompiled_charsmap"] = list(base64.b64decode(charsmap))
        case _:
            return keys | {PIPELINE_KEY: pipeline.to_json()}
    match list(pipeline.pre_tokenizer):
        case [{"type": "WhitespaceSplit"}, *rest]:
            keys["tokenizer.ggml.remove_extra_whitespaces"] = True
        case rest:
            pass
    prefix = keys["tokenizer.ggml.add_space_prefix"]
    space = {"replacement": SPACE, "prepend_scheme": "always" if prefix else "never", "split": True}
    return keys if rest == [{"type": "Metaspace", **space}] else keys | {PIPELINE_KEY: pipeline.to_json()}


def unigram_pieces(model: JsonField) -> list[tuple[str, float]]:
    """The pieces of a Unigram model, by id, with their scores in nats."""
    pieces = []
    model["vocab"].as_list(required=True)
    for entry in model["vocab"].items():
        match entry.as_list():
            case [str(piece), score]:
                pieces.append((piece, JsonField(score, entry.name, f"{entry.path}[1]").as_number()))
            case _:
                raise entry.error("must be a piece with its score")
    return pieces
