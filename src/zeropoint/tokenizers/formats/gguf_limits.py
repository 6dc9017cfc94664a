"""What GGUF cannot express about a tokenizer: other programs, which ignore our keys, treat it differently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from zeropoint.tokenizers.core.added_tokens import FLAGS_KEY
from zeropoint.tokenizers.core.pipeline import PIPELINE_KEY, Pipeline, Step, parse_pipeline

__all__ = ["inexpressible_in_gguf"]

_N_NAMED = 3
_EFFECTS = {
    "lstrip": "keep the white space before {}",
    "rstrip": "keep the white space after {}",
    "single_word": "also recognize {} within a word",
    "normalized": "look for {} before they normalize the text",
}


def inexpressible_in_gguf(metadata: Mapping[str, Any]) -> list[str]:
    """One sentence for each difference; none if GGUF's own keys say everything that affects ids."""
    differences = []
    if PIPELINE_KEY in metadata:
        is_llama = metadata["tokenizer.ggml.model"] == "llama"
        differences.append(_pipeline_difference(parse_pipeline(metadata[PIPELINE_KEY]), is_llama))
    flags = json.loads(metadata.get(FLAGS_KEY, "{}"))
    tokens = metadata.get("tokenizer.ggml.tokens", ())
    for flag, effect in _EFFECTS.items():
        if ids := flags.get(flag):
            names = ", ".join(tokens[index] for index in ids[:_N_NAMED])
            rest = f" and {len(ids) - _N_NAMED} more tokens" if len(ids) > _N_NAMED else ""
            differences.append(
                f"GGUF cannot express the flag {flag} of added tokens: zeropoint reads it from a key of its "
                f"own, but other programs may {effect.format(names + rest)}"
            )
    return differences


def _pipeline_difference(pipeline: Pipeline, is_llama: bool) -> str:
    schemes = {step.get("prepend_scheme") for step in pipeline.pre_tokenizer}
    if is_llama and "first" in schemes:
        return (
            "GGUF cannot express that this tokenizer puts a space only before the first word: zeropoint reads"
            " it from a key of its own, but other programs also put one before text after a control token"
        )
    if pipeline.model.get("word_level"):
        return "GGUF has no name for a tokenizer of whole words: only zeropoint can encode text for this file"
    steps = dict.fromkeys(_name(step) for step in (*pipeline.normalizer, *pipeline.pre_tokenizer))
    return (
        f"GGUF has no name for this tokenizer's steps ({', '.join(steps) or 'none'}): zeropoint reads them "
        "from a key of its own, but other programs may give other ids"
    )


def _name(step: Step) -> str:
    return str(step["type"])
