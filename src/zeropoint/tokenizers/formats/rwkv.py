"""Character vocabularies ("rwkv" in GGUF) on Hugging Face `tokenizers`: from GGUF and from tokenizer.json.

`core/character_vocab.py` describes the vocabulary itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zeropoint.tokenizers.core.added_tokens import token_scanner
from zeropoint.tokenizers.core.character_vocab import character_metadata
from zeropoint.tokenizers.core.tokenizer import Encoders
from zeropoint.tokenizers.core.vocabulary import Vocabulary
from zeropoint.tokenizers.formats.hf_pipeline import steps_of
from zeropoint.tokenizers.formats.json_field import JsonField

__all__ = ["character_encoders", "wordlevel_metadata"]

_ANY_CHARACTER = r"[\s\S]"


def character_encoders(vocabulary: Vocabulary) -> Encoders:
    """Build the encoders. They raise on a character outside the vocabulary and never substitute one."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    ids = {character: index for index, character in enumerate(vocabulary.tokens)}
    encoder = Tokenizer(models.WordLevel(ids, unk_token=""))
    encoder.pre_tokenizer = pre_tokenizers.Split(Regex(_ANY_CHARACTER), behavior="isolated")
    return Encoders(encoder, encoder, encoder, token_scanner(vocabulary), alphabet=frozenset(ids))


def wordlevel_metadata(tokens: Sequence[str], content: JsonField) -> dict[str, Any]:
    """The `tokenizer.ggml.*` keys of a tokenizer.json that splits at every character.

    Raises BadModelFile for any other WordLevel model.
    """
    steps = list(steps_of(content["pre_tokenizer"], "pretokenizers"))
    pattern = steps[0]["pattern"].value if len(steps) == 1 else None
    if pattern != {"Regex": _ANY_CHARACTER} or any(len(token) != 1 for token in tokens):
        raise content["model"].error(
            "has the type WordLevel, which GGUF supports only if every token is one character"
        )
    return character_metadata(tokens)
