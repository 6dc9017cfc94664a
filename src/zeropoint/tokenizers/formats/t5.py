"""T5's tokenizer: a unigram model over pieces of words, as `tokenizer.ggml.model` = "t5" of a GGUF file.

Kudo 2018 (https://arxiv.org/abs/1804.10959); `unigram.py` trains and explains one. Text is first rewritten by
SentencePiece's table of characters (`precompiled_charsmap`: NFKC and more), then cut at white space.
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

_LEAST = -1e6  # nats: of tokens that no text becomes
_UNUSED = -1e4  # what llama.cpp's converter gives them


def t5_encoders(vocabulary: Vocabulary) -> Encoders:
    """The library's objects. Raises ValueError, or what the library raises, for tokens it cannot take."""
    from tokenizers import Tokenizer, models

    control, user = control_and_user_tokens(vocabulary)
    pieces = list(zip(vocabulary.tokens, vocabulary.scores, strict=True))
    # A space is in no word, so these are found in none: text must not become a control token.
    names = {index: (f" {index}", _LEAST) for index in vocabulary.control_ids}
    hidden = [names.get(index, piece) for index, piece in enumerate(pieces)]
    if "unk" not in vocabulary.special:
        raise ValueError("a unigram vocabulary needs an unknown token")

    def view(specials: bool) -> Tokenizer:
        has_bytes = bool(vocabulary.byte_ids)
        taken = pieces if specials else hidden
        made = Tokenizer(models.Unigram(taken, unk_id=vocabulary.special["unk"], byte_fallback=has_bytes))
        if specials:
            made.add_special_tokens([added_token(token, True) for token in control])
        made.add_tokens([added_token(token, False) for token in user])
        _set_words(made, vocabulary)
        return made

    plain, full = view(specials=False), view(specials=True)
    return Encoders(plain, full, plain, token_scanner(control, user))


def _set_words(made: Any, vocabulary: Vocabulary) -> None:
    from tokenizers import normalizers, pre_tokenizers

    if vocabulary.charsmap:
        made.normalizer = normalizers.Precompiled(vocabulary.charsmap)
    scheme = "always" if vocabulary.add_space_prefix else "never"
    steps: list[Any] = [pre_tokenizers.WhitespaceSplit()] if vocabulary.drops_spaces else []
    steps.append(pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=True))
    made.pre_tokenizer = pre_tokenizers.Sequence(steps)


def unigram_metadata(
    model: Mapping[str, Any],
    normalizer: Sequence[Mapping[str, Any]],
    words: Sequence[Mapping[str, Any]],
    tokens: Sequence[str],
    types: Sequence[int],
    name: str,
) -> dict[str, Any]:
    """The `tokenizer.ggml.*` keys of a tokenizer.json with a Unigram model.

    normalizer, words: its steps; tokens, types: by id. Raises BadModelFile for steps GGUF has no name for.
    """
    scores = dict(_scores(model, name))
    found: dict[str, Any] = {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.scores": [
            _UNUSED if kind == UNUSED else scores.get(token, 0.0)
            for token, kind in zip(tokens, types, strict=True)
        ],
        "tokenizer.ggml.token_type": list(types),
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.remove_extra_whitespaces": False,
    }
    for step in (*normalizer, *words):
        match step:
            case {"type": "Precompiled", "precompiled_charsmap": str(text)}:
                found["tokenizer.ggml.precompiled_charsmap"] = _decoded(text, name)
            case {"type": "WhitespaceSplit"}:
                found["tokenizer.ggml.remove_extra_whitespaces"] = True
            case {"type": "Metaspace"}:
                older = "always" if step.get("add_prefix_space", True) else "never"
                found["tokenizer.ggml.add_space_prefix"] = step.get("prepend_scheme", older) != "never"
            case _:
                raise BadModelFile(f"{name}: {printable(str(step), 200)} has no name in GGUF for a Unigram")
    return found


def _scores(model: Mapping[str, Any], name: str) -> Iterator[tuple[str, float]]:
    vocab = model.get("vocab")
    for entry in vocab if isinstance(vocab, list) else [None]:
        match entry:
            case [str(piece), float() | int() as score]:
                yield piece, float(score)
            case _:
                raise BadModelFile(f"{name}: `model.vocab` must be a list of pieces with their scores")


def _decoded(text: str, name: str) -> list[int]:
    try:
        return list(base64.b64decode(text, validate=True))
    except binascii.Error:
        raise BadModelFile(f"{name}: `precompiled_charsmap` is not base64") from None
