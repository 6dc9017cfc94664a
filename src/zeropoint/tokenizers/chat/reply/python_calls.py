"""Tool calls written as Python: `f(x=1)`, or a list of these. Nothing is evaluated but literals."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from zeropoint.tokenizers.chat.reply.calls import Call, dump

if TYPE_CHECKING:
    import ast

__all__ = ["python_calls"]

_MAX_CHARS = 1 << 16  # Python's parser takes about a kilobyte of memory for each character
_CONSTANTS = {"true": True, "false": False, "null": None}  # JSON's names, which models mix in


def python_calls(text: str) -> list[Call]:
    """The calls of a text such as `[f(x=1), g(y="a")]` or `f(x=1)`. Raises ValueError for anything else."""
    import ast  # few models need it

    if len(text) > _MAX_CHARS:
        raise ValueError("too long")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not Python: {error}") from None
    nodes = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
    calls = [_call(node) for node in nodes]
    if not calls:
        raise ValueError("no call")
    return calls


def _call(node: ast.expr) -> Call:
    import ast

    if not isinstance(node, ast.Call) or node.args or any(word.arg is None for word in node.keywords):
        raise ValueError("not a call with named arguments")
    try:
        name = ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
        if not re.fullmatch(r"[^\W\d][\w.]*", name):
            raise ValueError("not a name")
        return Call(name, dump({str(word.arg): _value(word.value) for word in node.keywords}))
    except (TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a literal: {error}") from None


def _value(node: ast.expr) -> Any:
    import ast

    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(map(str, keys), map(_value, node.values), strict=True))
    return ast.literal_eval(node)
