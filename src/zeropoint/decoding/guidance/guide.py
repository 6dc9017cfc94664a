"""`Guide`: what an answer must look like: a JSON Schema, a regular expression, a grammar or choices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from zeropoint.errors import BadInput
from zeropoint.frozen import frozen

__all__ = ["Guide"]

_MAX_DEPTH = 64  # nested values of a schema
_MAX_NODES = 20_000
_MAX_REFERENCES = 100  # in one chain; the compiler calls itself for each (1,000 crash llguidance 1.9.1)
_MAX_CHARS = 200_000
_MAX_CHOICES = 10_000
# Only the whitespace that json.dumps writes: a small model may otherwise write blank lines without end.
_JSON_OPTIONS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@frozen
class Guide:
    """A grammar in one of three forms: a JSON Schema, a regular expression, or Lark's EBNF.

    after: the text from which on the grammar holds, each time it is written; "" for the whole answer.

    >>> Guide.choices(["yes", "no"]).source
    'start: "yes" | "no"'
    """

    kind: Literal["json_schema", "regex", "lark"]
    source: str
    after: str = ""

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | str) -> Guide:
        """JSON that a schema accepts, given as an object or as text. Raises BadInput."""
        if isinstance(schema, str):
            schema = _parsed(schema)
        if not isinstance(schema, Mapping):
            raise BadInput(f"a JSON Schema must be an object; got {type(schema).__name__}")
        _check_size(schema)
        _check_references(schema)
        return cls("json_schema", json.dumps(schema))

    @classmethod
    def json_object(cls) -> Guide:
        """Any JSON object."""
        return cls("json_schema", '{"type": "object"}')

    @classmethod
    def regex(cls, pattern: str) -> Guide:
        """Text that matches a regular expression from beginning to end. Raises BadInput."""
        return cls("regex", _limited(pattern, "the regular expression"))

    @classmethod
    def lark(cls, grammar: str) -> Guide:
        """Text of a grammar in Lark's notation, from the rule `start`. Raises BadInput."""
        return cls("lark", _limited(grammar, "the grammar"))

    @classmethod
    def choices(cls, texts: Sequence[str]) -> Guide:
        """One of several texts. Raises BadInput."""
        if isinstance(texts, str) or not 1 <= len(texts) <= _MAX_CHOICES or not all(texts):
            raise BadInput(f"choices must be 1 to {_MAX_CHOICES} texts that are not empty")
        return cls.lark("start: " + " | ".join(json.dumps(text, ensure_ascii=False) for text in texts))

    def grammar(self) -> str:
        """The grammar in llguidance's own form."""
        from llguidance import LLMatcher

        if self.kind == "regex":
            return LLMatcher.grammar_from_regex(self.source)
        if self.kind == "lark":
            return LLMatcher.grammar_from_lark(self.source)
        return LLMatcher.grammar_from_json_schema(self.source, overrides=_JSON_OPTIONS)  # type: ignore[arg-type]


def _limited(text: str, what: str) -> str:
    if not 1 <= len(text) <= _MAX_CHARS:
        raise BadInput(f"{what} has {len(text)} characters; it must have 1 to {_MAX_CHARS}")
    return text


def _parsed(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise BadInput(f"the JSON Schema has the key {json.dumps(twice)[:100]} twice in one object")
        return dict(pairs)

    _limited(text, "the JSON Schema")
    try:
        return json.loads(text, object_pairs_hook=unique)
    except ValueError as error:
        raise BadInput(f"the JSON Schema is not JSON: {error}") from None
    except RecursionError:
        raise BadInput(f"the JSON Schema is nested deeper than {_MAX_DEPTH} levels") from None


def _check_size(schema: Mapping[str, Any]) -> None:
    """Without recursion, which a hostile schema would exhaust."""
    n_nodes, stack = 0, [(schema, 1)]
    while stack:
        value, depth = stack.pop()
        n_nodes += 1
        if depth > _MAX_DEPTH:
            raise BadInput(f"the JSON Schema is nested deeper than {_MAX_DEPTH} levels")
        if n_nodes > _MAX_NODES:
            raise BadInput(f"the JSON Schema has more than {_MAX_NODES} values")
        inner: Any = (
            value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        )
        stack += [(part, depth + 1) for part in inner]


def _check_references(schema: Mapping[str, Any]) -> None:
    """Refuse long chains of definitions that refer to each other."""
    found = [schema.get(key) for key in ("$defs", "definitions")]
    definitions = [item for group in found if isinstance(group, Mapping) for item in group.values()]
    if sum('"$ref"' in json.dumps(item) for item in definitions) > _MAX_REFERENCES:
        raise BadInput(
            f"more than {_MAX_REFERENCES} definitions of the JSON Schema refer to others; make it simpler"
        )
