"""Which reasoning tags and which tool-call format a model uses, from its template and its vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zeropoint import registry
from zeropoint.frozen import frozen
from zeropoint.tokenizers.chat.reply.calls import Clues, ToolFormat, schemas_of
from zeropoint.tokenizers.chat.reply.events import ReplyParser
from zeropoint.tokenizers.chat.reply.harmony import MARKERS, HarmonyParser
from zeropoint.tokenizers.chat.reply.tags import ReasoningTags, TagParser

__all__ = ["ReplyFormat", "find_format"]

_FORMATS = "zeropoint.tokenizers.chat.reply.tool_formats"
_THINK = ReasoningTags("<think>", "</think>")
_RESPONSE = ReasoningTags("<think>", "</think>", ("<response>", "</response>"))  # Granite 3
_TAGS = (ReasoningTags("<|channel>thought\n", "<channel|>"), ReasoningTags("[THINK]", "[/THINK]"))


@frozen
class ReplyFormat:
    """How a model writes a reply. is_harmony: gpt-oss's format, which replaces both tags and tool format."""

    reasoning: ReasoningTags | None = None
    tools: ToolFormat | None = None
    is_harmony: bool = False

    @property
    def markers(self) -> tuple[str, ...]:
        """The special tokens that a parser must see; a decoder shows them, and omits all others."""
        if self.is_harmony:
            return MARKERS
        tools, tags = self.tools, self.reasoning
        markers = tools.opens + tools.closes + tools.inner if tools is not None else ()
        return markers + ((tags.opens.removesuffix("thought\n"), tags.closes, *tags.answer) if tags else ())

    def parser(self, prompt_end: str = "", tools: Sequence[Mapping[str, Any]] | None = None) -> ReplyParser:
        """A parser of one reply. prompt_end: how the prompt ends, which may have opened the reasoning.

        tools: those that the model may call, in OpenAI's form; without any, a call is text.
        """
        if self.is_harmony:
            return HarmonyParser(bool(tools))
        is_reasoning = self.reasoning is not None and prompt_end.rstrip().endswith(self.reasoning.opens)
        return TagParser(self.reasoning, self.tools if tools else None, schemas_of(tools), is_reasoning)


def find_format(template: str, has_token: Callable[[str], bool], *, for_tools: bool = True) -> ReplyFormat:
    """The format of the model with this chat template. has_token: whether the vocabulary has a token.

    for_tools: without it, the format of tool calls is not looked for, which costs some milliseconds.
    """
    if "<|channel|>" in template and "<|message|>" in template:
        return ReplyFormat(is_harmony=True)
    clues = Clues(template, has_token)
    classes = map(_class, registry.names(_FORMATS)) if for_tools else ()
    return ReplyFormat(_reasoning_tags(clues), next((cls() for cls in classes if cls.is_used(clues)), None))


def _class(name: str) -> type[Any]:
    return registry.load_class(_FORMATS, name, ToolFormat)


def _reasoning_tags(clues: Clues) -> ReasoningTags | None:
    for tags in _TAGS:
        if tags.closes in clues.template:
            return tags
    if "<response></response>" in clues.template:
        return _RESPONSE
    has_think = "</think>" in clues.template or clues.has_token("</think>")
    return _THINK if has_think else next((tags for tags in _TAGS if clues.has_token(tags.closes)), None)
