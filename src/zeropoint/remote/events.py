"""Read server-sent events from a response, whatever the server sends."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from zeropoint.errors import NetworkError

__all__ = ["read_events"]

_MAX_EVENT_CHARS = 8_000_000


def read_events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream, up to `[DONE]`. Raises NetworkError for anything else or an early end."""
    data: list[str] = []
    n_chars = 0
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
            n_chars += len(line)
            if n_chars > _MAX_EVENT_CHARS:
                raise NetworkError("the server sent an event that is too large")
        elif not line and data:
            text, data, n_chars = "\n".join(data), [], 0
            if text.strip() == "[DONE]":
                return
            yield _parsed(text)
    if data:
        text = "\n".join(data)
        if text.strip() == "[DONE]":
            return
    raise NetworkError("the server ended the answer before it was complete")


def _parsed(text: str) -> dict[str, Any]:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise NetworkError(f"the server sent an event that is no JSON: {text[:100]!r}") from None
    if not isinstance(event, dict):
        raise NetworkError(f"the server sent an event that is no JSON object: {text[:100]!r}")
    if event.get("error"):
        raise NetworkError(f"the server reports: {message_of(event)}")
    return event


def message_of(body: Any) -> str:
    """The message of an error body, in any of the forms that servers use; at most 500 characters."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    return " ".join(str(message if message is not None else body).split())[:500]
