"""T5's tokenizer: a unigram model over subwords, `tokenizer.ggml.model` = "t5" in GGUF.

Kudo 2018 (https://arxiv.org/abs/1804.10959); `train/unigram.py` trains and explains one. Text is normalized
by SentencePiece's `precompiled_charsmap` (NFKC and more), then split at white space.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.core.added_tokens import added_token, control_and_user_tokens, token_scanner
from zeropoint.tokenizers.core.sanitize import printable
from zeropoint.tokenizers.core.tokenizer import Encoders
from zeropoint.tokenizers.core.vocabulary import SPACE, UNUSED, Vocabulary

__all__ = ["t5_encoders", "unigram_metadata"]

_UNREACHABLE_SCORE = -1e6  # nats
_UNUSED_SCORE = -1e4  # as in llama.cpp's converter


def t5_encoders(vocabulary: Vocabulary) -> Encoders:
    """Build the encoders. Raises ValueError, or the library's error, for tokens it rejects."""
    from tokenizers import Tokenizer, models

    control, user = control_and_user_tokens(vocabulary)
    pieces = list(zip(vocabulary.tokens, vocabulary.scores, strict=True))
    # No word contains a space, so text cannot encode to a control token under these names.
    unreachable = {index: (f" {index}", _UNREACHABLE_SCORE) for index in vocabulary.control_ids}
    hidden = [unreachable.get(index, piece) for index, piece in enumerate(pieces)]
    if "unk" not in vocabulary.special:
        raise ValueError("a unigram vocabulary needs an unknown token")

    def view(parse_special: bool) -> Tokenizer:
        has_bytes = bool(vocabulary.byte_ids)
        vocab = pieces if parse_special else hidden
        encoder = Tokenizer(models.Unigram(vocab, unk_id=vocabulary.special["unk"], byte_fallback=has_bytes))
        if parse_special:
            encoder.add_special_tokens([added_token(token, True) for token in control])
        encoder.add_tokens([added_token(token, False) for token in user])
        _set_pre_tokenizer(encoder, vocabulary)
        return encoder

    plain, special = view(parse_special=False), view(parse_special=True)
    return Encoders(plain, special, plain, token_scanner(control, user))


def _set_pre_tokenizer(encoder: Any, vocabulary: Vocabulary) -> None:
    from tokenizers import normalizers, pre_tokenizers

    if vocabulary.charsmap:
        encoder.normalizer = normalizers.Precompiled(vocabulary.charsmap)
    scheme = "always" if vocabulary.add_space_prefix else "never"
    steps: list[Any] = [pre_tokenizers.WhitespaceSplit()] if vocabulary.removes_extra_whitespace else []
    steps.append(pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=True))
    encoder.pre_tokenizer = pre_tokenizers.Sequence(steps)


def unigram_metadata(
    model: Mapping[str, Any],
    normalizer: Sequence[Mapping[str, Any]],
    pre_tokenizer: Sequence[Mapping[str, Any]],
    tokens: Sequence[str],
    types: Sequence[int],
    name: str,
) -> dict[str, Any]:
    """The `tokenizer.ggml.*` keys of a tokenizer.json with a Unigram model.

    normalizer, pre_tokenizer: their steps. tokens, types: by id. Raises BadModelFile for steps that GGUF does
    not support.
    """
    scores = dict(_scores(model, name))
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.scores": [
            _UNUSED_SCORE if kind == UNUSED else scores.get(token, 0.0)
            for token, kind in zip(tokens, types, strict=True)
        ],
        "tokenizer.ggml.token_type": list(types),
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.remove_extra_whitespaces": False,
    }
    for step in (*normalizer, *pre_tokenizer):
        match step:
            case {"type": "Precompiled", "precompiled_charsmap": str(text)}:
                metadata["tokenizer.ggml.precompiled_charsmap"] = _decode_base64(text, name)
            case {"type": "WhitespaceSplit"}:
                metadata["tokenizer.ggml.remove_extra_whitespaces"] = True
            case {"type": "Metaspace"}:
                legacy_scheme = "always" if step.get("add_prefix_space", True) else "never"
                scheme = step.get("prepend_scheme", legacy_scheme)
                metadata["tokenizer.ggml.add_space_prefix"] = scheme != "never"
            case _:
                raise BadModelFile(
                    f"{name}: GGUF does not support {printable(str(step), 200)} for a Unigram model"
                )
    return metadata


def _scores(model: Mapping[str, Any], name: str) -> Iterator[tuple[str, float]]:
    vocab = model.get("vocab")
    for entry in vocab if isinstance(vocab, list) else [None]:
        match entry:
            case [str(piece), float() | int() as score]:
                yield piece, float(score)
            case _:
                raise BadModelFile(f"{name}: `model.vocab` must be a list of pieces with their scores")


def _decode_base64(text: str, name: str) -> list[int]:
    try:
        return list(base64.b64decode(text, validate=True))
    except binascii.Error:
        raise BadModelFile(f"{name}: `precompiled_charsmap` is not base64") from None
