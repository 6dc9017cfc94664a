"""Encode prompts. One far longer than the context is refused before all of it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zeropoint import _native
from zeropoint.errors import ContextFull
from zeropoint.tokenizers.core.tokenizer import Tokenizer

if TYPE_CHECKING:
    from zeropoint.engine.session.chat_request import ChatOptions
    from zeropoint.tokenizers.chat.template import ChatTemplate

__all__ = ["chat_ids", "document_ids", "text_ids"]

COUNTED_CHARS = 1 << 20  # up to this length the error gives the exact number of tokens


def text_ids(tokenizer: Tokenizer, text: str, n_ctx: int) -> list[int]:
    """Token ids of a text. Raises ContextFull if it is long and has more than n_ctx tokens."""
    if len(text) <= COUNTED_CHARS:
        return tokenizer.encode(text)
    ids = tokenizer.encode(text, max_tokens=n_ctx)
    if len(ids) > n_ctx:
        raise ContextFull(_native.context_full_message("the text has at least", len(ids), n_ctx))
    return ids


def document_ids(tokenizer: Tokenizer, text: str | Sequence[int], n_ctx: int) -> list[int]:
    """Token ids of a document: with a BOS token if the model has one. Token ids are used verbatim."""
    if not isinstance(text, str):
        return list(text)
    ids = text_ids(tokenizer, text, n_ctx)
    bos = tokenizer.bos_id
    if bos is not None and (tokenizer.add_bos or not ids):
        ids = [bos, *ids]
    return ids


def chat_ids(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Mapping[str, Any]],
    n_ctx: int,
    notify: Callable[[str], None] | None = None,
    options: ChatOptions | None = None,
) -> list[int]:
    """Token ids of a conversation up to the start of the answer. Raises BadInput, ContextFull.

    notify: gets a sentence if a system prompt became part of a user message. options: tools and variables.
    """
    from zeropoint.tokenizers.chat.prompt import encode_chat  # here: `generate` needs no template
    from zeropoint.tokenizers.chat.template import check_messages

    check_messages(messages)
    _check_length(tokenizer, list(_texts(messages)), n_ctx)
    tools, variables = (options.tools, options.variables()) if options is not None else (None, {})
    return encode_chat(tokenizer, template, messages, tools=tools, notify=notify, **variables)


def _check_length(tokenizer: Tokenizer, texts: list[str], n_ctx: int) -> None:
    """Raise ContextFull if the texts are long and alone have more tokens than the context holds."""
    n_chars = sum(map(len, texts))
    if n_chars <= COUNTED_CHARS or 4 * n_chars <= n_ctx:  # a token has at least one byte
        return
    n_tokens = 0
    for text in texts:
        n_tokens += len(tokenizer.encode(text.strip(), max_tokens=n_ctx - n_tokens))
        if n_tokens > n_ctx:
            raise ContextFull(_native.context_full_message("the messages have at least", n_tokens, n_ctx))


def _texts(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The texts that a template prints. It may omit earlier answers, which are therefore left out."""
    for message in messages:
        content = message.get("content")
        if content is None or message.get("role") == "assistant":
            continue
        parts = [content] if isinstance(content, str) else content if isinstance(content, list) else []
        for part in parts:
            text = part.get("text") if isinstance(part, Mapping) else part
            if isinstance(text, str):
                yield text
