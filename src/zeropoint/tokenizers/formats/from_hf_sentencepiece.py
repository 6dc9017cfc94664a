"""Convert a Hugging Face folder that has SentencePiece's tokenizer.model and no tokenizer.json.

Older folders are so (OpenLLaMA, the first Llama). Tokens added after training are in added_tokens.json or in
tokenizer_config.json's `added_tokens_decoder`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from zeropoint.tokenizers.core.added_tokens import FLAGS, FLAGS_KEY
from zeropoint.tokenizers.core.vocabulary import CONTROL, UNUSED, USER_DEFINED
from zeropoint.tokenizers.formats.from_hf import special_ids
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.json_field import JsonField
from zeropoint.tokenizers.formats.sentencepiece import sentencepiece_metadata

__all__ = ["folder_metadata"]

_UNUSED_SCORE = -1e4  # as in llama.cpp's converter


def folder_metadata(
    data: bytes,
    files: Mapping[str, Mapping[str, Any]],
    n_vocab: int,
    *,
    template: str | None = None,
    folder: str = ".",
) -> dict[str, Any]:
    """The `tokenizer.*` keys of a folder with a tokenizer.model.

    data: the content of tokenizer.model. files: the JSON files by name, as far as they exist. n_vocab: rows
    of the embedding; rows without a token get an unused token. template: the chat template. Raises
    BadModelFile.
    """
    name = f"{folder}/tokenizer.model"
    metadata = sentencepiece_metadata(data, name)
    keys = {key: f"tokenizer.ggml.{key}" for key in ("tokens", "scores", "token_type")}
    tokens, scores, types = (metadata[key] for key in keys.values())
    for index in range(len(tokens), n_vocab):
        tokens.append(f"[PAD{index}]")
        scores.append(_UNUSED_SCORE)
        types.append(UNUSED)
    named = ("tokenizer_config.json", "config.json", "generation_config.json", "added_tokens.json")
    settings, *configs, added = (JsonField(dict(files.get(part, {})), f"{folder}/{part}") for part in named)
    flags: dict[str, list[int]] = {}
    for token, index in added.as_object().items():
        _add(added, token, index, tokens)
        types[index] = USER_DEFINED
    decoder = settings["added_tokens_decoder"]
    for key in decoder.as_object():
        entry = decoder[key]
        index = int(key) if key.isdecimal() and len(key) < 10 else -1
        _add(entry, entry["content"].as_text(), index, tokens)
        if types[index] in (UNUSED, USER_DEFINED):
            types[index] = CONTROL if entry["special"].as_bool(False) else USER_DEFINED
        for flag in FLAGS[:3]:  # SentencePiece does not normalize before it finds them
            if entry[flag].as_bool(False):
                flags.setdefault(flag, []).append(index)
    ids = {token: index for index, token in enumerate(tokens)}
    metadata |= special_ids(settings, configs, JsonField({}, name), ids)
    metadata[FLAGS_KEY] = json.dumps(flags, separators=(",", ":"))
    for flag_name in ("add_bos_token", "add_eos_token"):
        if settings[flag_name]:
            metadata[f"tokenizer.ggml.{flag_name}"] = settings[flag_name].as_bool()
    if template is not None:
        metadata["tokenizer.chat_template"] = template
    load_tokenizer(SimpleNamespace(metadata=metadata, paths=[name]))  # raises what is wrong before writing
    return metadata


def _add(field: JsonField, token: str, index: Any, tokens: list[str]) -> None:
    if type(index) is not int or not 0 <= index < len(tokens):
        raise field.error(
            f"gives token {token!r:.60} the id {index!r:.30}; the embedding has {len(tokens)} rows"
        )
    tokens[index] = token
