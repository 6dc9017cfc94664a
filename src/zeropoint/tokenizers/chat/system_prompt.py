"""Keep the system prompt when a template has no place for one.

Some templates ignore system messages (Phi-3), others reject them (Gemma 2). Their models were trained to find
such instructions at the beginning of the user's message. Whether a template prints a system message is found
by rendering the conversation with a marker in its place, since its text may be trimmed, quoted or split.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from zeropoint.errors import BadInput

__all__ = ["MERGED_NOTICE", "TemplateFailedError", "render_system_prompt"]

Messages = Sequence[Mapping[str, Any]]

MERGED_NOTICE = (
    "the chat template has no place for a system prompt; it was put at the beginning of the user's message"
)
_ROLES = ("system", "developer")
_MARKER = "zeropointsystemprompt"
_SEPARATOR = "\n\n"


class TemplateFailedError(BadInput):
    """The template rejected the messages, or failed."""


def render_system_prompt(messages: Messages, render: Callable[[Messages], str]) -> tuple[str, bool]:
    """The rendered messages, and whether a system message had to become part of a user message.

    render: renders messages; raises TemplateFailedError. Raises what it raises for the original messages.
    """
    indices = [index for index, message in enumerate(messages) if message["role"] in _ROLES]
    if not indices:
        return render(messages), False
    refusal: TemplateFailedError | None = None
    try:
        text = render([_marked(message, index) for index, message in enumerate(messages)]).lower()
        missing = {index for index in indices if f"{_MARKER}{index}." not in text}
    except TemplateFailedError as error:
        missing, refusal = set(indices), error
    if not missing:
        return render(messages), False
    if any(messages[index]["role"] == "developer" for index in missing):  # the newer name of the system role
        return render_system_prompt([_with_system_role(message) for message in messages], render)
    try:
        return render(_merge(messages, missing)), True
    except TemplateFailedError as error:
        raise refusal or error from None


def _with_system_role(message: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**message, "role": "system"} if message["role"] == "developer" else message


def _marked(message: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    if message["role"] not in _ROLES:
        return message
    marker = f"{_MARKER}{index}."
    is_text = isinstance(message["content"], str)
    return {**message, "content": marker if is_text else [{"type": "text", "text": marker}]}


def _merge(messages: Messages, missing: Collection[int]) -> list[Mapping[str, Any]]:
    """Put each missing message at the beginning of the next user message, or else at the end of the last."""
    merged: list[Mapping[str, Any]] = []
    pending: list[Any] = []
    for index, message in enumerate(messages):
        if index in missing:
            pending.append(message["content"])
            continue
        if message["role"] == "user" and pending:
            message = {**message, "content": _join([*pending, message["content"]])}
            pending = []
        merged.append(message)
    if pending:
        before = [merged.pop()["content"]] if merged and merged[-1]["role"] == "user" else []
        merged.append({"role": "user", "content": _join([*before, *pending])})
    return merged


def _join(contents: Sequence[Any]) -> str | list[Any]:
    """One content: a text if all are texts, else a list of parts."""
    if all(isinstance(content, str) for content in contents):
        return _SEPARATOR.join(content for content in contents if content.strip())
    parts: list[Any] = []
    for content in contents:
        if parts:
            parts.append({"type": "text", "text": _SEPARATOR})
        parts += [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return parts
