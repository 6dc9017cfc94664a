"""Convert SentencePiece's `tokenizer.model`, a protocol buffer, to GGUF metadata.

Format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto and
https://protobuf.dev/programming-guides/encoding/. Supports BPE and unigram models with any
normalization.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.core.metadata_reader import MAX_TOKENS
from zeropoint.tokenizers.core.pipeline import PIPELINE_KEY, SPACE, Pipeline

__all__ = ["sentencepiece_metadata"]

_KINDS = {1: "t5", 2: "llama"}  # GGUF's name of a vocabulary by TrainerSpec.model_type
_SPECIAL = {40: "unknown_token_id", 41: "bos_token_id", 42: "eos_token_id", 43: "padding_token_id"}
_DEFAULT_IDS = {40: 0, 41: 1, 42: 2, 43: -1}


def sentencepiece_metadata(data: bytes, name: str = "tokenizer.model") -> dict[str, Any]:
    """The `tokenizer.*` keys of a SentencePiece model, BPE or unigram.

    Raises BadModelFile naming the file and the part that is damaged or not supported.
    """
    try:
        return _metadata(data)
    except (ValueError, struct.error, UnicodeDecodeError) as failure:
        raise BadModelFile(f"{name} is not a SentencePiece model that zeropoint reads: {failure}") from None


def _metadata(data: bytes) -> dict[str, Any]:
    tokens, scores, types = [], [], []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value in protobuf_fields(data):
        if number == 1:
            piece = dict(protobuf_fields(_as_bytes(value)))
            tokens.append(_as_bytes(piece.get(1, b"")).decode())
            scores.append(struct.unpack("<f", _as_bytes(piece.get(2, bytes(4))))[0])
            types.append(_as_int(piece.get(3, 1)))
        elif number == 2:
            trainer |= dict(protobuf_fields(_as_bytes(value)))
        elif number == 3:
            normalizer |= dict(protobuf_fields(_as_bytes(value)))
        if len(tokens) > MAX_TOKENS:
            raise ValueError(f"more than {MAX_TOKENS} tokens")
    if trainer.get(3, 1) not in _KINDS:
        raise ValueError("its model is neither BPE nor unigram (TrainerSpec.model_type)")
    if not normalizer.get(5, 1) or trainer.get(24, 0):
        raise ValueError("it does not represent a space as U+2581 before a word")
    kind = _KINDS[_as_int(trainer.get(3, 1))]
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": kind,
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.add_space_prefix": bool(normalizer.get(3, 1)),
    }
    pipeline = _pipeline(normalizer)
    n_standard = 1 + bool(normalizer.get(3, 1))  # the steps that a `llama` vocabulary has by itself
    if kind != "llama" or len(pipeline.normalizer) > n_standard:
        metadata[PIPELINE_KEY] = pipeline.to_json()
    for number, key in _SPECIAL.items():
        index = _as_int(trainer.get(number, _DEFAULT_IDS[number]))
        if 0 <= index < len(tokens):  # -1 as 64 bits means none
            metadata[f"tokenizer.ggml.{key}"] = index
    return metadata


def _pipeline(normalizer: dict[int, int | bytes]) -> Pipeline:
    """What SentencePiece does to a text: its character map, superfluous spaces, the prefix, U+2581."""
    steps: list[dict[str, Any]] = []
    if charsmap := _as_bytes(normalizer.get(2, b"")):
        encoded = base64.b64encode(charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": encoded})
    if normalizer.get(4, 1):
        superfluous = {"Regex": r"\A +| +\z|(?<= ) +"}
        steps.append({"type": "Replace", "pattern": superfluous, "content": ""})
    if normalizer.get(3, 1):
        steps.append({"type": "Prepend", "prepend": SPACE})
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
    return Pipeline(steps)


def protobuf_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of one message: an int, or the bytes of a string, message or fixed number.

    Raises ValueError if the message is truncated or invalid.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case _ if key >> 3 == 0:
                raise ValueError(f"a field number of 0 at byte {at}")
            case 0:
                value, at = _varint(data, at)
                yield key >> 3, value
                continue
            case 1:
                size = 8
            case 5:
                size = 4
            case 2:
                size, at = _varint(data, at)
            case wire:
                raise ValueError(f"a field of wire type {wire} at byte {at}")
        if size > len(data) - at:
            raise ValueError(f"it ends inside a field at byte {at}")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, end position) of a base-128 varint, least significant group first."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number of more than ten bytes at byte {at}")


def _as_int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("a field holds bytes instead of a number")
    return value


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a field holds a number instead of bytes")
    return value
