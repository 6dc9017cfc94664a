"""WordPiece, the tokenizer of BERT: the longest piece of a word that is a token, again and again.

Devlin et al. 2018 (https://arxiv.org/abs/1810.04805). In a GGUF file (`tokenizer.ggml.model` = "bert") a
piece that begins a word is spelled with U+2581 before it and one that continues a word is bare; Hugging
Face spells the first bare and the second with `##`. Control tokens and the user's own are spelled alike.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.added_tokens import added_token, control_and_user_tokens, token_scanner
from zeropoint.tokenizers.core.tokenizer import Encoders, Tokenizer
from zeropoint.tokenizers.core.vocabulary import SPACE, USER_DEFINED, Vocabulary

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Document", "bert_encoders", "encode_document", "to_gguf_spelling"]

MAX_WORD_CHARS = 100  # characters; a longer word is unknown, as in the published code


@frozen
class Document:
    """What the model reads. ids [T]; types [T]: 0 in the first text, 1 in the second."""

    ids: list[int]
    types: list[int]


def encode_document(tokenizer: Tokenizer, text: str, second: str | None = None) -> Document:
    """`[CLS] text [SEP]`, or `[CLS] text [SEP] second [SEP]`, as far as the file's flags add them.

    Raises BadInput if the vocabulary is not BERT's, so has no separator.
    """
    if tokenizer.sep_id is None:
        raise BadInput("this vocabulary has no separator token; only a BERT vocabulary makes such documents")
    begin = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
    end = [tokenizer.sep_id] if tokenizer.add_sep else []
    first = begin + tokenizer.encode(text) + end
    rest = [] if second is None else tokenizer.encode(second) + end
    return Document(first + rest, [0] * len(first) + [1] * len(rest))


def to_gguf_spelling(tokens: Sequence[str], specials: Collection[str]) -> list[str]:
    """Hugging Face's spelling of each token made that of GGUF; `specials` stay as they are."""
    return [
        token if token in specials else token[2:] if token.startswith("##") else SPACE + token
        for token in tokens
    ]


def bert_encoders(vocabulary: Vocabulary) -> Encoders:
    """The library's objects. Raises ValueError if two tokens mean the same piece."""
    from tokenizers import Tokenizer as Library

    control, user = control_and_user_tokens(vocabulary)
    spelled = _wordpieces(vocabulary)
    taken = set(spelled)
    if len(taken) != len(spelled):
        raise ValueError("two tokens are the same word piece")
    hidden = [
        _hidden(index, taken) if index in vocabulary.control_ids else token
        for index, token in enumerate(spelled)
    ]
    unknown = vocabulary.special["unk"]
    plain, full = Library(_model(hidden, unknown)), Library(_model(spelled, unknown))
    full.add_special_tokens([added_token(token, True) for token in control])
    for made in (plain, full):
        made.add_tokens([added_token(token, False) for token in user])
        _set_words(made, vocabulary)
    return Encoders(plain, full, plain, token_scanner(control, user))


def _wordpieces(vocabulary: Vocabulary) -> list[str]:
    """Hugging Face's spelling, by id."""
    return [
        token
        if index in vocabulary.control_ids or vocabulary.types[index] == USER_DEFINED
        else token[1:]
        if token.startswith(SPACE)
        else "##" + token
        for index, token in enumerate(vocabulary.tokens)
    ]


def _hidden(index: int, taken: Collection[str]) -> str:
    """A name for a control token that no word has: there is a space in it."""
    name = f" {index}"
    while name in taken:
        name = " " + name
    return name


def _model(tokens: Sequence[str], unknown: int) -> tokenizers.models.Model:
    from tokenizers import models

    ids = {token: index for index, token in enumerate(tokens)}
    return models.WordPiece(vocab=ids, unk_token=tokens[unknown], max_input_chars_per_word=MAX_WORD_CHARS)


def _set_words(made: tokenizers.Tokenizer, vocabulary: Vocabulary) -> None:
    """Put in the steps that clean a text and cut it at white space and punctuation."""
    from tokenizers import normalizers, pre_tokenizers

    made.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=True,
        strip_accents=vocabulary.strip_accents,
        lowercase=vocabulary.lowercase,
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
