"""Convert the tokenizer files of a Hugging Face folder to GGUF metadata.

Byte-level BPE becomes `gpt2` with the name of its pre-tokenizer (found by comparison with
`pretokenizers.toml`, never guessed); SentencePiece BPE becomes `llama`; WordPiece becomes `bert`
(`from_hf_bert.py`); Unigram becomes `t5`; a WordLevel model of single characters becomes `rwkv`. Everything
else is rejected.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.core.metadata_reader import BYTE, NORMAL
from zeropoint.tokenizers.core.sanitize import printable
from zeropoint.tokenizers.core.special_tokens import END_OF_MESSAGE, end_of_turn_id
from zeropoint.tokenizers.core.vocabulary import CONTROL, UNKNOWN, UNUSED, USER_DEFINED
from zeropoint.tokenizers.formats.from_hf_bert import wordpiece_metadata
from zeropoint.tokenizers.formats.rwkv import wordlevel_metadata
from zeropoint.tokenizers.formats.t5 import unigram_metadata

__all__ = ["gguf_metadata", "is_legacy"]

_SPECIAL = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "pad": "padding_token_id",
}


def gguf_metadata(
    tokenizer: Mapping[str, Any],
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
    n_vocab: int,
    *,
    generation: Mapping[str, Any] | None = None,
    template: str | None = None,
    name: str = "tokenizer.json",
) -> dict[str, Any]:
    """The `tokenizer.*` keys from tokenizer.json, tokenizer_config.json (settings) and config.json.

    n_vocab: rows of the embedding; rows without a token get an unused token. generation:
    generation_config.json, which may name more end tokens. template: the chat template.
    Raises BadModelFile naming the file and the part that is not supported.
    """
    model = _part(tokenizer, "model", name)
    kind = model.get("type", "BPE")
    if kind not in ("BPE", "WordPiece", "Unigram", "WordLevel"):
        known = "BPE, WordPiece, Unigram or WordLevel"
        raise _bad(name, f"GGUF does not support a model of type {kind!r}; it must be {known}")
    is_llama = bool(model.get("byte_fallback"))
    tokens, types = _tokens(tokenizer, model, n_vocab, name)
    if kind == "WordPiece":
        return wordpiece_metadata(tokenizer, settings, tokens, types, name)
    if kind == "WordLevel":
        return wordlevel_metadata(tokens, list(_steps(tokenizer.get("pre_tokenizer"), "pretokenizers")), name)
    if kind == "Unigram":
        steps = list(_steps(tokenizer.get("normalizer"), "normalizers"))
        pre_tokenizer = list(_steps(tokenizer.get("pre_tokenizer"), "pretokenizers"))
        unigram = unigram_metadata(model, steps, pre_tokenizer, tokens, types, name)
        ids = {token: index for index, token in enumerate(tokens)}
        return (
            unigram
            | _special_ids(settings, config, generation or {}, model, ids)
            | _document_flags(tokenizer)
        )
    ids = {token: index for index, token in enumerate(tokens)}
    merges = [_merge(merge, name) for merge in model.get("merges", [])]
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "llama" if is_llama else "gpt2",
        "tokenizer.ggml.pre": "default" if is_llama else _pre_tokenizer_name(tokenizer, model, name),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
    }
    if merges:
        metadata["tokenizer.ggml.merges"] = merges
    if is_llama:
        metadata["tokenizer.ggml.scores"] = _scores(tokens, merges)
        metadata["tokenizer.ggml.add_space_prefix"] = _has_space_prefix(tokenizer)
    metadata |= _special_ids(settings, config, generation or {}, model, ids)
    metadata["tokenizer.ggml.add_bos_token"] = _adds_bos(tokenizer, settings)
    if template is not None:
        metadata["tokenizer.chat_template"] = template
    return metadata


def _tokens(
    tokenizer: Mapping[str, Any], model: Mapping[str, Any], n_vocab: int, name: str
) -> tuple[list[str], list[int]]:
    """Tokens by id and their GGUF types; ids without a token get an unused one."""
    tokens = [f"[PAD{i}]" for i in range(n_vocab)]
    types = [UNUSED] * n_vocab
    unknown = model.get("unk_token")
    vocab = model.get("vocab")
    if model.get("type") == "Unigram" and isinstance(vocab, list):
        vocab = {entry[0]: index for index, entry in enumerate(vocab) if isinstance(entry, list) and entry}
        unknown = next((token for token, index in vocab.items() if index == model.get("unk_id")), None)
    if not isinstance(vocab, dict):
        raise _bad(name, "`model.vocab` must map tokens to ids")
    for token, index in vocab.items():
        _check_id(token, index, n_vocab, name)
        tokens[index] = token
        types[index] = BYTE if model.get("byte_fallback") and _is_byte_token(token) else NORMAL
        if token == unknown:
            types[index] = UNKNOWN
    for added in tokenizer.get("added_tokens") or []:
        token, index = added.get("content"), added.get("id")
        _check_id(token, index, n_vocab, name)
        tokens[index] = token
        if token != unknown:
            types[index] = CONTROL if added.get("special") else USER_DEFINED
    return tokens, types


def _pre_tokenizer_name(tokenizer: Mapping[str, Any], model: Mapping[str, Any], name: str) -> str:
    """The name in pretokenizers.toml of the pre-tokenizer with exactly the file's steps."""
    rules: dict[str, Any] = {"ignore_merges": bool(model.get("ignore_merges"))}
    for step in _steps(tokenizer.get("normalizer"), "normalizers"):
        if step.get("type") != "NFC":
            raise _bad(name, f"GGUF has no name for the normalizer {step.get('type')!r}")
        rules["nfc"] = True
    for step in _steps(tokenizer.get("pre_tokenizer"), "pretokenizers"):
        match step:
            case {"type": "Digits", "individual_digits": True}:
                rules["digits"] = True
            case {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}:
                rules.setdefault("splits", []).append(pattern)
            case {"type": "ByteLevel", "add_prefix_space": False}:
                rules["gpt2_regex"] = step.get("use_regex", True)
            case _:
                raise _bad(name, f"GGUF has no name for the pre-tokenizer step {step.get('type')!r}")
    table = tomllib.loads(Path(__file__).with_name("pretokenizers.toml").read_text("utf-8"))
    defaults = {"nfc": False, "digits": False, "splits": [], "gpt2_regex": False, "ignore_merges": False}
    for row in table["pretokenizer"]:
        if all(row.get(key, default) == rules.get(key, default) for key, default in defaults.items()):
            return str(row["names"][0])
    raise _bad(name, "its pre-tokenizer is none of those in GGUF that zeropoint supports")


def _special_ids(
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
    generation: Mapping[str, Any],
    model: Mapping[str, Any],
    ids: dict[str, int],
) -> dict[str, int | list[int]]:
    """Ids of the special tokens: by their spelling in tokenizer_config.json, else by id in config.json.

    A model may have several end tokens.
    Llama 3.1 lists three in config.json, Phi-3 in generation_config.json.
    """
    special_ids: dict[str, int | list[int]] = {}
    for name, key in _SPECIAL.items():
        token = settings.get(f"{name}_token")
        if isinstance(token, dict):
            token = token.get("content")
        named = [ids[token]] if isinstance(token, str) and token in ids else []
        named += [
            index for part in (config, generation) for index in _ids(part.get(f"{name}_token_id"), len(ids))
        ]
        if name == "unk" and not named:
            named = _ids(ids.get(str(model.get("unk_token")), model.get("unk_id")), len(ids))
        if named:
            special_ids[f"tokenizer.ggml.{key}"] = named[0]
        if name == "eos" and len(set(named)) > 1:
            special_ids["tokenizer.ggml.eos_token_ids"] = sorted(set(named))
    for key, index in (("eot", end_of_turn_id(ids)), ("eom", ids.get(END_OF_MESSAGE))):
        if index is not None:
            special_ids[f"tokenizer.ggml.{key}_token_id"] = index
    return special_ids


def _ids(value: Any, n_vocab: int) -> list[int]:
    """The token ids in an id, a list of ids, or neither."""
    values = value if isinstance(value, list) else [value]
    return [index for index in values if type(index) is int and 0 <= index < n_vocab]


def _adds_bos(tokenizer: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a document begins with BOS: according to the post-processor, else to the settings."""
    steps = [
        step
        for step in _steps(tokenizer.get("post_processor"), "processors")
        if step.get("type") == "TemplateProcessing"
    ]
    if not steps:
        return bool(settings.get("add_bos_token", False)) and tokenizer.get("post_processor") is None
    single = steps[0].get("single") or [{}]
    return "SpecialToken" in single[0]


def _document_flags(tokenizer: Mapping[str, Any]) -> dict[str, bool]:
    """Whether a document gets a special token at its beginning and at its end."""
    step = tokenizer.get("post_processor") or {}
    single = step.get("single") or [{}] if step.get("type") == "TemplateProcessing" else [{}]
    return {
        "tokenizer.ggml.add_bos_token": "SpecialToken" in single[0],
        "tokenizer.ggml.add_eos_token": "SpecialToken" in single[-1],
    }


def _scores(tokens: list[str], merges: list[str]) -> list[float]:
    """SentencePiece's scores: the negated rank of the first merge that produces a token."""
    rank: dict[str, int] = {}
    for merge in merges:
        rank.setdefault(merge.replace(" ", "", 1), len(rank))
    return [float(-rank.get(token, len(rank))) for token in tokens]


def is_legacy(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a text that already begins with a space gets a space prefix too, as in SentencePiece."""
    return any(step.get("type") == "Prepend" for step in _steps(tokenizer.get("normalizer"), "normalizers"))


def _has_space_prefix(tokenizer: Mapping[str, Any]) -> bool:
    normalizers = _steps(tokenizer.get("normalizer"), "normalizers")
    pre_tokenizers = _steps(tokenizer.get("pre_tokenizer"), "pretokenizers")
    return any(step.get("type") == "Prepend" for step in normalizers) or any(
        step.get("type") == "Metaspace" and step.get("prepend_scheme", "always") != "never"
        for step in pre_tokenizers
    )


def _steps(step: Any, inner: str) -> Iterator[Mapping[str, Any]]:
    """A single step, or the steps of a Sequence (one level deep)."""
    if isinstance(step, dict):
        yield from step.get(inner, []) if step.get("type") == "Sequence" else [step]


def _merge(merge: Any, name: str) -> str:
    if isinstance(merge, str):
        return merge
    if isinstance(merge, list) and len(merge) == 2 and {type(part) for part in merge} == {str}:
        return f"{merge[0]} {merge[1]}"
    raise _bad(name, f"the merge {merge!r:.60} must be two tokens")


def _check_id(token: Any, index: Any, n_vocab: int, name: str) -> None:
    if not isinstance(token, str) or type(index) is not int or not 0 <= index < n_vocab:
        raise _bad(name, f"token {token!r:.60} has the id {index!r:.30}; the embedding has {n_vocab} rows")


def _is_byte_token(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _part(tokenizer: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    part = tokenizer.get(key)
    if not isinstance(part, dict):
        raise _bad(name, f"`{key}` must be an object")
    return part


def _bad(name: str, problem: str) -> BadModelFile:
    return BadModelFile(f"{name}: {printable(problem, 400)}")
