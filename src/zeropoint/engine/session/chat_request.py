"""Prepare the answer to a conversation: the prompt's token ids, and the parser of the reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from zeropoint.engine.session.prompt_ids import chat_ids
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.tokenizers.chat.reply.events import ReplyParser
from zeropoint.tokenizers.chat.reply.reply_format import ReplyFormat

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model

__all__ = ["ChatOptions", "ChatRequest", "prepare"]

_PROMPT_END_TOKENS = 16  # enough to hold a tag that opens the reasoning
_THINKING_VARIABLES = ("enable_thinking", "thinking")  # the latter in Granite 3


@frozen
class ChatOptions:
    """What a chat template gets besides messages.

    tools: those that the model may call, in OpenAI's form. thinking: whether to reason before the answer; the
    template decides if None. template_kwargs: other variables of the template, such as reasoning_effort.
    """

    tools: Sequence[Mapping[str, Any]] | None = None
    thinking: bool | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def variables(self) -> dict[str, Any]:
        """The template's variables."""
        switches = {} if self.thinking is None else dict.fromkeys(_THINKING_VARIABLES, self.thinking)
        return {**switches, **self.template_kwargs}


@frozen
class ChatRequest:
    """The prompt's ids and the reply's parser, None if every reply is only text.

    shown_ids: the special tokens that the parser must see. notices: sentences for the user.
    """

    ids: list[int]
    parser: ReplyParser | None
    shown_ids: frozenset[int]
    notices: list[str]


def prepare(model: Model, messages: Sequence[Mapping[str, Any]], options: ChatOptions) -> ChatRequest:
    """The request for an answer. Raises BadInput, also for tools that the template ignores; ContextFull."""
    source, tokenizer, notices = model.template.source, model.tokenizer, list[str]()
    if options.tools and "tools" not in source:
        raise BadInput("this model's chat template has no place for tools; choose a model that calls tools")
    if options.thinking is not None and not any(name in source for name in _THINKING_VARIABLES):
        notices.append("this model's chat template cannot turn reasoning on or off")
    ids = chat_ids(tokenizer, model.template, messages, model.engine.n_ctx, notices.append, options)
    form = model.find_reply_format(for_tools=bool(options.tools))
    if form == ReplyFormat():
        return ChatRequest(ids, None, frozenset(), notices)
    prompt_end = tokenizer.decode(ids[-_PROMPT_END_TOKENS:])
    shown = (tokenizer.added_token_id(marker) for marker in form.markers)
    parser = form.parser(prompt_end, options.tools)
    return ChatRequest(ids, parser, frozenset(index for index in shown if index is not None), notices)
