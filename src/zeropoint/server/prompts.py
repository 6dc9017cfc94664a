"""Texts and token ids, as `prompt` and `input` take them."""

from __future__ import annotations

from typing import Any

from zeropoint.server.fields import Check, integer, items, refuse, schema_of, text

__all__ = ["Prompt", "prompts"]

Prompt = str | list[int]
_TEXT = {"type": "string", "minLength": 1}
_token_ids = items(integer(0, 2**31 - 1), 1)


def prompts(maximum: int) -> Check:
    """A text, token ids, or a list of up to `maximum` of either."""

    def check(value: Any, path: str) -> list[Prompt]:
        if isinstance(value, str):
            return [text(value, path)]
        if not isinstance(value, list) or not 1 <= len(value) <= maximum:
            raise refuse(path, value, f"a text, token ids, or a list of 1 to {maximum} of these")
        if all(isinstance(item, int) and not isinstance(item, bool) for item in value):
            return [_token_ids(value, path)]
        each = text if isinstance(value[0], str) else _token_ids
        return [each(item, f"{path}[{i}]") for i, item in enumerate(value)]

    ids = schema_of(_token_ids)
    lists = [{"type": "array", "items": form, "minItems": 1, "maxItems": maximum} for form in (_TEXT, ids)]
    check.schema = {"anyOf": [_TEXT, ids, *lists]}  # type: ignore[attr-defined]
    return check
