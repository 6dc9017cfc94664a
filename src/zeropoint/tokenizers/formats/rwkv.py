"""Character vocabularies ("rwkv" in GGUF) on Hugging Face `tokenizers`: from GGUF and from tokenizer.json.

`core/character_vocab.py` describes the vocabulary itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from zeropoint.tokenizers.core.added_tokens import token_scanner
from zeropoint.tokenizers.core.tokenizer import Encoders
from zeropoint.tokenizers.core.vocabulary import Vocabulary
from zeropoint.tokenizers.formats.hf_pipeline import steps_of
from zeropoint.tokenizers.formats.json_field import JsonField

__all__ = ["character_encoders", "has_only_characters"]

_ANY_CHARACTER = r"[\s\S]"


def character_encoders(vocabulary: Vocabulary) -> Encoders:
    """Build the encoders. They raise on a character outside the vocabulary and never substitute one."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    ids = {character: index for index, character in enumerate(vocabulary.tokens)}
    encoder = Tokenizer(models.WordLevel(ids, unk_token=""))
    encoder.pre_tokenizer = pre_tokenizers.Split(Regex(_ANY_CHARACTER), behavior="isolated")
    return Encoders(encoder, encoder, encoder, token_scanner(vocabulary), alphabet=frozenset(ids))


def has_only_characters(content: JsonField, tokens: Sequence[str]) -> bool:
    """Whether a tokenizer.json with a WordLevel model splits at every character."""
    steps = list(steps_of(content["pre_tokenizer"], "pretokenizers"))
    pattern = steps[0]["pattern"].value if len(steps) == 1 else None
    return pattern == {"Regex": _ANY_CHARACTER} and all(len(token) == 1 for token in tokens)
