"""Convert a Hugging Face WordPiece tokenizer to GGUF's `bert` vocabulary (`bert.py` reads it)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.core.metadata_reader import NORMAL
from zeropoint.tokenizers.core.sanitize import printable
from zeropoint.tokenizers.core.vocabulary import UNUSED
from zeropoint.tokenizers.formats.bert import MAX_WORD_CHARS, to_gguf_spelling

__all__ = ["wordpiece_metadata"]

_DEFAULT_TOKENS = {"cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "pad": "[PAD]", "mask": "[MASK]"}
_KEYS = {
    "cls": ("cls_token_id", "bos_token_id"),  # readers look for one or the other
    "sep": ("seperator_token_id",),  # sic
    "unk": ("unknown_token_id",),
    "pad": ("padding_token_id",),
    "mask": ("mask_token_id",),
}
# BERT's published settings, the only ones that GGUF supports.
_PUBLISHED = ("BertNormalizer", True, True, "BertPreTokenizer", "##", MAX_WORD_CHARS)


def wordpiece_metadata(
    tokenizer: Mapping[str, Any],
    settings: Mapping[str, Any],
    tokens: Sequence[str],
    types: Sequence[int],
    name: str,
) -> dict[str, Any]:
    """The `tokenizer.ggml.*` keys of a tokenizer.json with a WordPiece model.

    tokens, types: by id, in Hugging Face's spelling. Raises BadModelFile for steps that GGUF does not
    support.
    """
    special = {token for token, kind in zip(tokens, types, strict=True) if kind not in (NORMAL, UNUSED)}
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": to_gguf_spelling(tokens, special),
        "tokenizer.ggml.token_type": list(types),
        **_normalizer(tokenizer, name),
    }
    ids = {token: index for index, token in enumerate(tokens)}
    for part, keys in _KEYS.items():
        token = settings.get(f"{part}_token", _DEFAULT_TOKENS[part])
        token = token.get("content") if isinstance(token, dict) else token
        if token in ids:
            metadata |= {f"tokenizer.ggml.{key}": ids[token] for key in keys}
    add_bos, add_sep = _document_flags(tokenizer)
    return metadata | {"tokenizer.ggml.add_bos_token": add_bos, "tokenizer.ggml.add_sep_token": add_sep}


def _normalizer(tokenizer: Mapping[str, Any], name: str) -> dict[str, bool]:
    """The normalizer's keys. Raises BadModelFile unless the steps are BERT's published ones."""
    parts = ("normalizer", "pre_tokenizer", "model")
    step, pre_tokenizer, model = (tokenizer.get(part) or {} for part in parts)
    values = {
        "normalizer.type": step.get("type"),
        "normalizer.clean_text": step.get("clean_text", True),
        "normalizer.handle_chinese_chars": step.get("handle_chinese_chars", True),
        "pre_tokenizer.type": pre_tokenizer.get("type"),
        "model.continuing_subword_prefix": model.get("continuing_subword_prefix"),
        "model.max_input_chars_per_word": model.get("max_input_chars_per_word"),
    }
    for key, required in zip(values, _PUBLISHED, strict=True):
        if values[key] != required:
            value = printable(repr(values[key]), 60)
            raise BadModelFile(f"{name}: `{key}` is {value}; WordPiece in GGUF requires {required!r}")
    lowercase = bool(step.get("lowercase", True))
    strip = step.get("strip_accents")
    return {
        "tokenizer.ggml.normalizer.lowercase": lowercase,
        "tokenizer.ggml.normalizer.strip_accents": lowercase if strip is None else bool(strip),
    }


def _document_flags(tokenizer: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a document begins with [CLS] and ends with [SEP]."""
    step = tokenizer.get("post_processor") or {}
    if step.get("type") == "TemplateProcessing":
        single = step.get("single") or [{}]
        return "SpecialToken" in single[0], "SpecialToken" in single[-1]
    return (step.get("type") == "BertProcessing",) * 2
