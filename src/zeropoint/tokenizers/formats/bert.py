"""WordPiece, BERT's tokenizer: greedily match the longest token at each position of a word.

Devlin et al. 2018 (https://arxiv.org/abs/1810.04805). In GGUF (`tokenizer.ggml.model` = "bert") a piece that
begins a word has the prefix U+2581 and one that continues a word has none; Hugging Face gives the first no
prefix and the second `##`. Control and user-defined tokens are spelled the same in both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.added_tokens import hidden_name
from zeropoint.tokenizers.core.pipeline import SPACE, Pipeline
from zeropoint.tokenizers.core.tokenizer import Encoders, Tokenizer
from zeropoint.tokenizers.core.vocabulary import USER_DEFINED, Vocabulary

if TYPE_CHECKING:
    import tokenizers
from zeropoint.tokenizers.formats.encoders import pipeline_encoders

__all__ = ["Document", "bert_encoders", "encode_document", "to_gguf_spelling"]

MAX_WORD_CHARS = 100  # a longer word becomes the unknown token, as in BERT's published code


@frozen
class Document:
    """Model input. ids [T]; token_type_ids [T]: 0 in the first text, 1 in the second."""

    ids: list[int]
    token_type_ids: list[int]


def encode_document(tokenizer: Tokenizer, text: str, second: str | None = None) -> Document:
    """`[CLS] text [SEP]`, or `[CLS] text [SEP] second [SEP]`, subject to the file's flags.

    Raises BadInput if the vocabulary has no separator, so is not BERT's.
    """
    if tokenizer.sep_id is None:
        raise BadInput("this vocabulary has no separator token; use a BERT vocabulary")
    begin = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
    end = [tokenizer.sep_id] if tokenizer.add_sep else []
    first = begin + tokenizer.encode(text) + end
    rest = [] if second is None else tokenizer.encode(second) + end
    return Document(first + rest, [0] * len(first) + [1] * len(rest))


def to_gguf_spelling(tokens: Sequence[str], special_tokens: Collection[str]) -> list[str]:
    """Convert tokens from Hugging Face's spelling to GGUF's; `special_tokens` are unchanged."""
    return [
        token if token in special_tokens else token[2:] if token.startswith("##") else SPACE + token
        for token in tokens
    ]


def bert_encoders(vocabulary: Vocabulary) -> Encoders:
    """Build the encoders. Raises ValueError if two tokens stand for the same word piece."""
    pieces = _to_hf_spelling(vocabulary)
    if len(set(pieces)) != len(pieces):
        raise ValueError("two tokens are the same word piece")
    hidden = [
        hidden_name(index) if index in vocabulary.control_ids else token for index, token in enumerate(pieces)
    ]
    pipeline = vocabulary.pipeline or _default_pipeline(vocabulary)
    limit = pipeline.model.get("max_input_chars_per_word", MAX_WORD_CHARS)
    plain, special = (_model(names, vocabulary.special["unk"], limit) for names in (hidden, pieces))
    return pipeline_encoders(
        vocabulary, pipeline, plain, special, spans_words=vocabulary.pipeline is not None
    )


def _to_hf_spelling(vocabulary: Vocabulary) -> list[str]:
    """Tokens by id in Hugging Face's spelling."""
    return [
        token
        if index in vocabulary.control_ids or vocabulary.types[index] == USER_DEFINED
        else token[1:]
        if token.startswith(SPACE)
        else "##" + token
        for index, token in enumerate(vocabulary.tokens)
    ]


def _model(tokens: Sequence[str], unknown: int, max_word_chars: int) -> tokenizers.models.Model:
    from tokenizers import models

    ids = {token: index for index, token in enumerate(tokens)}
    return models.WordPiece(vocab=ids, unk_token=tokens[unknown], max_input_chars_per_word=max_word_chars)


def _default_pipeline(vocabulary: Vocabulary) -> Pipeline:
    """BERT's normalizer, and its pre-tokenizer, which splits at white space and punctuation."""
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": vocabulary.strip_accents,
        "lowercase": vocabulary.lowercase,
    }
    return Pipeline([normalizer], [{"type": "BertPreTokenizer"}])
