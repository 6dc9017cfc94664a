"""Tool calls as the formats share them: a call, its JSON, and the interface of a format."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from zeropoint.frozen import frozen
from zeropoint.tokenizers.chat.reply.call_grammars import Tools

__all__ = [
    "Call",
    "Clues",
    "Schemas",
    "ToolFormat",
    "dump",
    "json_call",
    "json_calls",
    "load",
    "schemas_of",
]

_MAX_NAME = 256
Schemas = Mapping[str, Mapping[str, Any]]
"""The JSON schema of each parameter, by tool and parameter."""


@frozen
class Call:
    """A call of the tool `name`; arguments: a JSON object, as text."""

    name: str
    arguments: str


@frozen
class Clues:
    """What tells a model's format: the source of its template, and whether its vocabulary has a token."""

    template: str
    has_token: Callable[[str], bool]


class ToolFormat(ABC):
    """How a family writes tool calls. One module of `tool_formats/` each.

    opens, closes: what encloses a call, or a list of calls; the end of the reply closes one, too.
    inner: other special tokens of a call. repeats: `opens` may follow without anything that closes.
    starts: a reply that begins so, white space apart, may be a call. is_tagged: whether every call follows
    one of `opens`.
    """

    opens: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    repeats: bool = False
    starts: tuple[str, ...] = ()
    is_tagged = True

    @classmethod
    @abstractmethod
    def is_used(cls, clues: Clues) -> bool:
        """Whether a model with this template and vocabulary writes this format."""

    def call_rules(self, tools: Tools, tag: Callable[[str], str]) -> str | None:
        """Rules in llguidance's form of Lark, of which `rest` is a call of any tool after `opens[0]`.

        None for a format that cannot be forced. tag: the terminal of a marker, which is a token of its own in
        some vocabularies.
        """
        return None

    def call_grammar(self, tools: Tools, tag: Callable[[str], str], *, is_open: bool = False) -> str | None:
        """The grammar of a call; is_open: of what follows `opens[0]`. Arguments as of `call_rules`."""
        rules = self.call_rules(tools, tag)
        if rules is None:
            return None
        begin = "" if is_open or not self.opens or not self.is_tagged else f"{tag(self.opens[0])} "
        return f"start: {begin}rest\n{rules}"

    @abstractmethod
    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """The calls between `opens` and `closes`. Raises ValueError for anything else."""


def load(text: str) -> Any:
    """A JSON value. Raises ValueError, also for NaN and for a text that is nested too deeply."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dump(arguments: Mapping[str, Any]) -> str:
    """Arguments as JSON. Raises ValueError if they cannot be."""
    try:
        return json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (RecursionError, TypeError) as error:
        raise ValueError(str(error)) from None


def json_call(value: Any) -> Call:
    """The call that `{"name": ..., "arguments": {...}}` describes, in the spellings that models use.

    Raises ValueError.
    """
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]
    if not isinstance(value, Mapping):
        raise ValueError("a call is not an object")
    name = value.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME:
        raise ValueError("a call has no name")
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = load(arguments or "{}")
    if not isinstance(arguments, Mapping):
        raise ValueError("the arguments are not an object")
    return Call(name, dump(arguments))


def json_calls(text: str) -> list[Call]:
    """The calls of a JSON object or a list of them. Raises ValueError."""
    value = load(text)
    calls = [json_call(item) for item in (value if isinstance(value, list) else [value])]
    if not calls:
        raise ValueError("no call")
    return calls


def schemas_of(tools: Sequence[Mapping[str, Any]] | None) -> Schemas:
    """The schemas of the parameters of tools in OpenAI's form; what is not in that form has none."""
    schemas: dict[str, Mapping[str, Any]] = {}
    for tool in tools or ():
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            continue
        parameters = function.get("parameters")
        properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
        schemas[function["name"]] = properties if isinstance(properties, Mapping) else {}
    return schemas


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
