"""Tokens that the library looks for in a text before it cuts words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from zeropoint.tokenizers.core.vocabulary import USER_DEFINED, Vocabulary, ids_of_types

if TYPE_CHECKING:
    import tokenizers

__all__ = ["added_token", "control_and_user_tokens", "token_scanner"]


def added_token(token: str, special: bool) -> tokenizers.AddedToken:
    """A token that is found as it is spelled."""
    from tokenizers import AddedToken

    return AddedToken(token, normalized=False, special=special)


def control_and_user_tokens(vocabulary: Vocabulary) -> tuple[list[str], list[str]]:
    """The control tokens, and the user's own that are none, by id."""
    user = [vocabulary.tokens[index] for index in ids_of_types(vocabulary.types, {USER_DEFINED})]
    user = [token for token in user if token and vocabulary.ids[token] not in vocabulary.control_ids]
    return [vocabulary.tokens[index] for index in sorted(vocabulary.control_ids)], user


def token_scanner(control: Iterable[str], user: Iterable[str]) -> tokenizers.Tokenizer:
    """An object that finds these tokens in a text and reads no words."""
    from tokenizers import Tokenizer, models

    made = Tokenizer(models.WordLevel({"": 0}, unk_token=""))
    made.add_special_tokens([added_token(token, True) for token in control])
    made.add_tokens([added_token(token, False) for token in user])
    return made
