"""Convert a Hugging Face WordPiece tokenizer to GGUF's `bert` vocabulary (`bert.py` reads it)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zeropoint.tokenizers.core.metadata_reader import NORMAL
from zeropoint.tokenizers.core.pipeline import PIPELINE_KEY
from zeropoint.tokenizers.core.vocabulary import UNUSED
from zeropoint.tokenizers.formats.bert import MAX_WORD_CHARS, to_gguf_spelling
from zeropoint.tokenizers.formats.hf_pipeline import read_pipeline, steps_of
from zeropoint.tokenizers.formats.json_field import JsonField

__all__ = ["wordpiece_metadata"]

_DEFAULT_TOKENS = {"cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "pad": "[PAD]", "mask": "[MASK]"}
_KEYS = {
    "cls": ("cls_token_id", "bos_token_id"),  # readers look for one or the other
    "sep": ("seperator_token_id",),  # sic
    "unk": ("unknown_token_id",),
    "pad": ("padding_token_id",),
    "mask": ("mask_token_id",),
}
_PREFIX = "##"


def wordpiece_metadata(
    content: JsonField, settings: JsonField, tokens: Sequence[str], types: Sequence[int]
) -> dict[str, Any]:
    """The `tokenizer.ggml.*` keys of a tokenizer.json with a WordPiece model.

    tokens, types: by id, in Hugging Face's spelling. Steps other than BERT's published ones are kept under
    our own key.
    """
    model = content["model"]
    if model["continuing_subword_prefix"].as_text(_PREFIX) != _PREFIX:
        raise model["continuing_subword_prefix"].error(f"must be {_PREFIX!r}, as GGUF requires")
    special = {token for token, kind in zip(tokens, types, strict=True) if kind not in (NORMAL, UNUSED)}
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": to_gguf_spelling(tokens, special),
        "tokenizer.ggml.token_type": list(types),
        **_step_keys(content),
    }
    ids = {token: index for index, token in enumerate(tokens)}
    for part, keys in _KEYS.items():
        token = settings[f"{part}_token"]
        token = token["content"] if isinstance(token.value, dict) else token
        spelled = token.as_text(_DEFAULT_TOKENS[part])
        if spelled in ids:
            metadata |= {f"tokenizer.ggml.{key}": ids[spelled] for key in keys}
    add_bos, add_sep = _document_flags(content)
    return metadata | {"tokenizer.ggml.add_bos_token": add_bos, "tokenizer.ggml.add_sep_token": add_sep}


def _step_keys(content: JsonField) -> dict[str, Any]:
    """GGUF's keys for BERT's normalizer, and our own for any other steps."""
    limit = content["model"]["max_input_chars_per_word"]
    max_chars = limit.as_int() if limit else MAX_WORD_CHARS
    if max_chars < 1:
        raise limit.error(f"is {max_chars}; it must be at least 1")
    options = {} if max_chars == MAX_WORD_CHARS else {"max_input_chars_per_word": max_chars}
    pipeline = read_pipeline(content, options)
    step = pipeline.normalizer[0] if len(pipeline.normalizer) == 1 else {"type": ""}
    lowercase = bool(step.get("lowercase", False))
    strip = step.get("strip_accents")
    keys: dict[str, Any] = {
        "tokenizer.ggml.normalizer.lowercase": lowercase,
        "tokenizer.ggml.normalizer.strip_accents": lowercase if strip is None else bool(strip),
    }
    is_published = (
        step["type"] == "BertNormalizer"
        and step.get("clean_text") is True
        and step.get("handle_chinese_chars") is True
        and list(pipeline.pre_tokenizer) == [{"type": "BertPreTokenizer"}]
    )
    return keys if is_published and not options else keys | {PIPELINE_KEY: pipeline.to_json()}


def _document_flags(content: JsonField) -> tuple[bool, bool]:
    """Whether a document begins with [CLS] and ends with [SEP]."""
    for step in steps_of(content["post_processor"], "processors"):
        if step["type"].value == "TemplateProcessing":
            single = [part.as_object(required=True) for part in step["single"].items()] or [{}]
            return "SpecialToken" in single[0], "SpecialToken" in single[-1]
        if step["type"].value == "BertProcessing":
            return True, True
    return False, False
