"""The pre-tokenizers that GGUF names (`tokenizer.ggml.pre`), from `pretokenizers.toml`."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.pipeline import Pipeline, Step

__all__ = ["PreTokenizer", "canonical_step", "pre_tokenizers"]


@frozen
class PreTokenizer:
    """Steps, and what else follows from a name.

    ignore_merges: a word that is a token becomes that token, without applying merges. add_bos: default of
    `tokenizer.ggml.add_bos_token`. spans_words: a pre-token may contain a space after a word, so that text
    cannot be divided there.
    """

    pipeline: Pipeline
    ignore_merges: bool = False
    add_bos: bool = False
    spans_words: bool = False


@functools.cache
def pre_tokenizers() -> dict[str, PreTokenizer]:
    """Every pre-tokenizer by each of its names, in the order of the file."""
    table = tomllib.loads(Path(__file__).with_name("pretokenizers.toml").read_text("utf-8"))
    rows = [(row["names"], _pre_tokenizer(row)) for row in table["pretokenizer"]]
    return {name: pre_tokenizer for names, pre_tokenizer in rows for name in names}


def _pre_tokenizer(row: dict[str, Any]) -> PreTokenizer:
    steps: list[Step] = [{"type": "Digits", "individual_digits": True}] if row.get("digits") else []
    steps += [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in row.get("splits", ())
    ]
    steps.append({"type": "ByteLevel", "add_prefix_space": False, "use_regex": row.get("gpt2_regex", False)})
    steps = [canonical_step(step) for step in row.get("steps", steps)]
    normalizer = [{"type": "NFC"}] if row.get("nfc") else []
    flags = {flag: row.get(flag, False) for flag in ("ignore_merges", "add_bos", "spans_words")}
    return PreTokenizer(Pipeline(normalizer, steps), **flags)


# What tokenizer.json may leave out, and what has no effect on ids.
_DEFAULTS: dict[str, Step] = {
    "BertNormalizer": {
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "ByteLevel": {"add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    "Digits": {"individual_digits": False},
    "Metaspace": {"prepend_scheme": "always", "split": True},
    "Punctuation": {"behavior": "Isolated"},
    "Split": {"behavior": "Isolated", "invert": False},
}
_COVERS_ALL = r"|\s+(?!\S)|\s+"  # a pattern that ends so matches every character


def canonical_step(step: Step) -> Step:
    """A step with its defaults filled in, so that equal steps compare equal."""
    kind = step["type"]
    full = {**_DEFAULTS.get(kind, {}), **step}
    if kind == "ByteLevel":
        full["trim_offsets"] = True
    if kind == "Metaspace":
        full.pop("str_rep", None)
        if full.pop("add_prefix_space", True) is False and "prepend_scheme" not in step:
            full["prepend_scheme"] = "never"
    match full:
        case {"type": "Split", "pattern": {"Regex": str(regex)}}:
            full["pattern"] = {"Regex": _escaped(regex)}
            is_kept = full["behavior"] == "Removed" and full["invert"] is True
            if is_kept and regex.endswith(_COVERS_ALL):  # nothing is left to remove
                full |= {"behavior": "Isolated", "invert": False}
    return full


def _escaped(regex: str) -> str:
    """A regular expression with its line ends and tabs as escapes; some files have one, some the other."""
    if any(f"\\{character}" in regex for character in "\r\n\t"):
        return regex
    return regex.replace("\r", r"\r").replace("\n", r"\n").replace("\t", r"\t")
