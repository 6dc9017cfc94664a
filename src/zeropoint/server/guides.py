"""What a request says about the form of its answer, as a guide."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from zeropoint.decoding.guidance.check import check_guide
from zeropoint.decoding.guidance.guide import Guide
from zeropoint.engine.session.model import Model
from zeropoint.errors import BadInput
from zeropoint.server.errors import ApiError
from zeropoint.server.fields import mapping, refuse

__all__ = ["response_format", "structured_outputs", "tool_guide"]


def response_format(value: Any, path: str) -> Guide | None:
    """OpenAI's `response_format`: text, json_object or json_schema."""
    kind = mapping(value, path).get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return Guide.json_object()
    if kind != "json_schema":
        raise refuse(f"{path}.type", kind, "one of text, json_object, json_schema")
    at = f"{path}.json_schema"
    return _guide(
        f"{at}.schema", Guide.json_schema, mapping(mapping(value.get("json_schema"), at).get("schema"), at)
    )


def structured_outputs(value: Any, path: str) -> Guide:
    """vLLM's `structured_outputs`: one of json, regex, choice and grammar."""
    makers: dict[str, Any] = {
        "json": Guide.json_schema,
        "regex": Guide.regex,
        "choice": Guide.choices,
        "grammar": Guide.lark,
    }
    given = mapping(value, path)
    if len(given) != 1 or not set(given) <= set(makers):
        raise refuse(path, value, f"an object with one of {', '.join(makers)}")
    name, source = next(iter(given.items()))
    expected: dict[str, tuple[type, ...]] = {"json": (dict, str), "choice": (list,)}
    if not isinstance(source, expected.get(name, (str,))):
        raise refuse(f"{path}.{name}", source, "a schema, a text, or a list of texts for choice")
    texts: Any = source
    if name == "choice" and not all(isinstance(item, str) for item in texts):
        raise refuse(f"{path}.choice", source, "a list of texts")
    return _guide(f"{path}.{name}", makers[name], source)


def forced_call(model: Model, tools: Sequence[Mapping[str, Any]], choice: Any) -> Guide:
    """A guide for a call of one of the tools, or of the one that `tool_choice` names. Raises ApiError."""
    names = [tool["function"]["name"] for tool in tools]
    chosen = [tool for tool in tools if choice == "required" or tool["function"]["name"] == choice["name"]]
    if not chosen:
        expected = f"one of the tools, {', '.join(names)}" if names else "absent without tools"
        raise refuse("tool_choice", choice, expected)
    form = model.find_reply_format(for_tools=True).tools
    grammar = None if form is None else form.call_grammar(chosen, _tag(model))
    if grammar is None:
        message = "a call cannot be forced in the format of this model; use tool_choice auto"
        raise ApiError(400, message, param="tool_choice", code="unsupported_value")
    return Guide.lark(grammar)


def tool_guide(
    model: Model, tools: Sequence[Mapping[str, Any]], choice: Any, guide: Guide | None
) -> Guide | None:
    """The guide of an answer that may call tools: forced, or from where the model begins a call by itself.

    guide: what the request asks for besides. Raises ApiError.
    """
    if choice not in ("auto", "none"):
        return forced_call(model, tools, choice)
    if guide is not None or not tools or choice == "none" or find_spec("llguidance") is None:
        return guide
    form = model.find_reply_format(for_tools=True).tools
    if form is None or not form.is_tagged:
        return None
    grammar = form.call_grammar(tools, _tag(model), is_open=True)
    if grammar is None:
        return None
    found = Guide("lark", grammar, form.opens[0])
    try:
        check_guide(found)
    except BadInput:  # a schema beyond llguidance, which the template still shows to the model
        return None
    return found


def _tag(model: Model) -> Callable[[str], str]:
    """How a grammar spells a marker: as a token, or as a text."""
    controls = model.tokenizer.control_ids

    def tag(text: str) -> str:
        token = model.tokenizer.added_token_id(text)
        return f"<[{token}]>" if token in controls else json.dumps(text, ensure_ascii=False)

    return tag


def _guide(path: str, make: Any, source: Any) -> Guide:
    """The guide, with the field in the message of an error."""
    try:
        guide: Guide = make(
            json.loads(source) if make == Guide.json_schema and isinstance(source, str) else source
        )
    except (BadInput, ValueError) as error:
        raise ApiError(400, f"{path}: {error}", param=path, code="invalid_value") from None
    return guide
