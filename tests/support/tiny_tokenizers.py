"""Tiny tokenizer.json files with the peculiarities of published ones."""

from __future__ import annotations

from typing import Any

__all__ = ["TOKENIZERS", "gemma", "llama_2", "mistral_v3", "phi_3", "sentencepiece"]

_DECODERS = (
    {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
)
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
_MERGES = (("a", "b"), ("\u2581", "a"), ("\u2581", "h"), ("\u2581h", "i"), ("h", "i"), ("\u2581", "\u2581"))


def sentencepiece(
    added: list[str], *, tab: str = "<0x09>", flags: dict[str, Any] | None = None, **parts: Any
) -> dict[str, Any]:
    """SentencePiece BPE as `tokenizers` writes it.

    added: control tokens, first the unknown one. tab: the spelling of a tab's byte token. flags: of the
    added tokens after the third. parts: normalizer, pre_tokenizer and so on.
    """
    letters = ["\u2581", *"abcdefghi"]
    tokens = [
        *added,
        *(f"<0x{b:02X}>" for b in range(256)),
        *letters,
        *(left + right for left, right in _MERGES),
    ]
    tokens[tokens.index("<0x09>")] = tab
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": token} | plain | (flags or {} if i > 2 else {})
            for i, token in enumerate(added)
        ],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [*_DECODERS, _STRIP]},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [f"{left} {right}" for left, right in _MERGES],
        },
    } | parts


_PREPEND = {"type": "Prepend", "prepend": "\u2581"}
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}


def llama_2() -> dict[str, Any]:
    """A space before the text and after every control token."""
    return sentencepiece(
        ["<unk>", "<s>", "</s>"], normalizer={"type": "Sequence", "normalizers": [_PREPEND, _REPLACE]}
    )


def gemma() -> dict[str, Any]:
    """No space prefix, and a byte token spelled as a tab."""
    return sentencepiece(
        ["<unk>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
        tab="\t",
        normalizer=_REPLACE,
        pre_tokenizer={
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        decoder={"type": "Sequence", "decoders": list(_DECODERS)},
    )


def phi_3() -> dict[str, Any]:
    """Llama's, whose chat tokens swallow the white space after them."""
    return sentencepiece(
        ["<unk>", "<s>", "</s>", "<|end|>", "<|user|>", "<|assistant|>"],
        flags={"rstrip": True},
        normalizer={"type": "Sequence", "normalizers": [_PREPEND, _REPLACE]},
    )


def mistral_v3() -> dict[str, Any]:
    """`legacy` = false: a space before the text, but not after control tokens."""
    return sentencepiece(
        ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"],
        pre_tokenizer={
            "type": "Metaspace",
            "replacement": "\u2581",
            "prepend_scheme": "first",
            "split": False,
        },
    )


TOKENIZERS = {"llama 2": llama_2, "gemma": gemma, "phi 3": phi_3, "mistral 0.3": mistral_v3}
