"""The normalizer and pre-tokenizer of a tokenizer.json, and what GGUF can say of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from zeropoint.errors import choices
from zeropoint.tokenizers.core.pipeline import SPACE, Pipeline, Step
from zeropoint.tokenizers.formats.json_field import JsonField
from zeropoint.tokenizers.formats.pretokenizers import canonical_step, pre_tokenizers

__all__ = ["llama_prefix", "pre_tokenizer_name", "read_pipeline", "steps_of"]

_MAX_DEPTH = 8  # of sequences within sequences
_TYPES = {
    "normalizers": (
        "BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled",
        "Prepend", "Replace", "Strip", "StripAccents",
    ),
    "pretokenizers": (
        "BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace",
        "Punctuation", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit",
    ),
}  # fmt: skip
_ESCAPE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_PREPEND = {"type": "Prepend", "prepend": SPACE}
_SPLIT_AT_SPACE = {  # Gemma's, which finds none after _ESCAPE
    "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False,
}  # fmt: skip
_NO_PREFIX = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "never", "split": False}


def read_pipeline(tokenizer: JsonField, model_options: dict[str, Any]) -> Pipeline:
    """The steps of a tokenizer.json. Raises BadModelFile for steps that the library does not have."""
    normalizer = [canonical_step(step.value) for step in steps_of(tokenizer["normalizer"], "normalizers")]
    steps = [canonical_step(step.value) for step in steps_of(tokenizer["pre_tokenizer"], "pretokenizers")]
    pipeline = Pipeline(normalizer, steps, model_options, _keeps_first_space(tokenizer["decoder"]))
    for part, only in (("normalizer", Pipeline(normalizer)), ("pre_tokenizer", Pipeline((), steps))):
        try:
            only.build()
        except ValueError as problem:
            raise tokenizer[part].error(f"is not valid: {problem}") from None
        for step in only.pre_tokenizer:
            if step["type"] == "FixedLength" and step.get("length") == 0:
                raise tokenizer[part].error("a FixedLength step needs a length of at least 1")
    return pipeline


def steps_of(field: JsonField, inner: str, depth: int = 0) -> Iterator[JsonField]:
    """The steps of a normalizer, pre-tokenizer or post-processor; those of a sequence in order.

    inner: what a sequence calls its steps: "normalizers", "pretokenizers" or "processors".
    """
    if not field:
        return
    kind = field["type"].as_text()
    if kind != "Sequence":
        if kind not in _TYPES.get(inner, (kind,)):
            raise field["type"].error(choices("step", kind, _TYPES[inner]))
        yield field
        return
    if depth == _MAX_DEPTH:
        raise field.error(f"has sequences nested more than {_MAX_DEPTH} deep")
    for step in field[inner].items():
        step.as_object(required=True)
        yield from steps_of(step, inner, depth + 1)


def _keeps_first_space(decoder: JsonField) -> bool:
    """Whether the decoder leaves the space before the first word."""
    steps = list(steps_of(decoder, "decoders"))
    return bool(steps) and not any(step["type"].value in ("Strip", "Metaspace") for step in steps)


def pre_tokenizer_name(pipeline: Pipeline) -> str | None:
    """GGUF's name for a byte-level pipeline with exactly these steps, or None."""
    for name, known in pre_tokenizers().items():
        if (
            _same(known.pipeline.normalizer, pipeline.normalizer)
            and _same(known.pipeline.pre_tokenizer, pipeline.pre_tokenizer)
            and known.ignore_merges == pipeline.model.get("ignore_merges", False)
        ):
            return name
    return None


def llama_prefix(pipeline: Pipeline) -> bool | None:
    """GGUF's `add_space_prefix` for a SentencePiece pipeline, or None if GGUF cannot express it."""
    normalizer, steps = list(pipeline.normalizer), list(pipeline.pre_tokenizer)
    if steps in ([], [_SPLIT_AT_SPACE]) and normalizer in ([_PREPEND, _ESCAPE], [_ESCAPE]):
        return normalizer[0] == _PREPEND
    if steps == [_NO_PREFIX] and normalizer in ([_PREPEND], []):
        return bool(normalizer)
    return None


def _same(known: Sequence[Step], steps: Sequence[Step]) -> bool:
    return list(known) == list(steps)
