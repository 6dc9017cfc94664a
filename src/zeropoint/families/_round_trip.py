"""Write a blueprint only to a format that can express it: read back what was written and compare."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.position import Rope
from zeropoint.errors import BadInput

__all__ = ["check_round_trip"]

# Weight layouts, which a tensor map translates, and the name.
_IGNORED_FIELDS = {"is_interleaved", "is_offset", "has_tiled_heads", "family"}
_LONG_CONTEXT = 2**24  # positions; longer than every published context
_REL_TOL = 1e-6  # GGUF stores float32


def check_round_trip(blueprint: Blueprint, reread: Blueprint, form: str) -> None:
    """Raise BadInput naming the first field of `blueprint` that `form` does not say, as `reread` shows."""
    reread_fields = dict(_flatten("", reread))
    for path, value in _flatten("", blueprint):
        reread_value = reread_fields.get(path)
        if not _are_equal(value, reread_value):
            raise BadInput(
                f"{form} of the family {blueprint.family} cannot express that {path} is {_shown(value)}; it "
                f"would be read as {_shown(reread_value)}, so change the blueprint or choose another format"
            )


def _flatten(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Rope):
        # Two RoPEs are equal if they rotate by the same angles, however their scaling is expressed.
        yield f"{path}.n_rotated", value.n_rotated
        yield f"{path}.attention_factor", value.attention_factor()
        for name, n in (("frequencies", 1), ("frequencies beyond the first context", _LONG_CONTEXT)):
            yield f"{path}.{name}", tuple(value.frequencies(n))
    elif is_dataclass(value) and not isinstance(value, type):
        yield f"{path} kind".strip(), type(value).__name__
        for field in fields(value):
            if field.name in _IGNORED_FIELDS:
                continue
            inner = getattr(value, field.name)
            if isinstance(value, Attention) and field.name == "scale":
                inner = value.score_scale
            yield from _flatten(f"{path}.{field.name}".lstrip("."), inner)
    elif isinstance(value, tuple):
        yield f"number of {path}", len(value)
        for i, item in enumerate(value):
            yield from _flatten(f"{path}[{i}]", item)
    else:
        yield path, value


def _are_equal(a: object, b: object) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_are_equal, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=_REL_TOL)
    return a == b


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
