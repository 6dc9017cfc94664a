"""Added tokens: those that Hugging Face `tokenizers` matches in a text before pre-tokenization."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from zeropoint.tokenizers.core.vocabulary import USER_DEFINED, Vocabulary, ids_of_types

if TYPE_CHECKING:
    import tokenizers

__all__ = ["added_token", "control_and_user_tokens", "token_scanner"]


def added_token(token: str, special: bool) -> tokenizers.AddedToken:
    """A token that is matched verbatim, before normalization."""
    from tokenizers import AddedToken

    return AddedToken(token, normalized=False, special=special)


def control_and_user_tokens(vocabulary: Vocabulary) -> tuple[list[str], list[str]]:
    """(control tokens, user-defined tokens that are not control tokens), each in the order of ids."""
    control = [vocabulary.tokens[index] for index in sorted(vocabulary.control_ids)]
    user = [vocabulary.tokens[index] for index in ids_of_types(vocabulary.types, {USER_DEFINED})]
    return control, [token for token in user if token and vocabulary.ids[token] not in vocabulary.control_ids]


def token_scanner(control: Iterable[str], user: Iterable[str]) -> tokenizers.Tokenizer:
    """A tokenizer that only finds these tokens in a text."""
    from tokenizers import Tokenizer, models

    scanner = Tokenizer(models.WordLevel({"": 0}, unk_token=""))
    scanner.add_special_tokens([added_token(token, True) for token in control])
    scanner.add_tokens([added_token(token, False) for token in user])
    return scanner
