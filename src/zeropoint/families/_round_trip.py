"""A blueprint is only written to a format that can say all of it: what was written is read and compared."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.position import Rope
from zeropoint.errors import BadInput

__all__ = ["check_round_trip"]

# Layouts of weights, which a tensor map translates; and a name.
_LAYOUT = {"is_interleaved", "is_offset", "family"}
_BEYOND = 2**24  # positions; past every published context
_FLOAT32 = 1e-6  # relative; GGUF holds floats of 24 bits


def check_round_trip(blueprint: Blueprint, again: Blueprint, form: str) -> None:
    """Raise BadInput naming the first field of `blueprint` that `form` does not say, as `again` shows."""
    theirs = dict(_flat("", again))
    for path, value in _flat("", blueprint):
        said = theirs.get(path)
        if not _alike(value, said):
            raise BadInput(
                f"{form} of the family {blueprint.family} cannot say that {path} is {_shown(value)}; it "
                f"would be read as {_shown(said)}, so change the blueprint or choose another format"
            )


def _flat(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Rope):
        # Two ropes are the same where they turn by the same angles, however their scaling is said.
        yield f"{path}.n_rotated", value.n_rotated
        yield f"{path}.attention_factor", value.attention_factor()
        for name, n in (("frequencies", 1), ("frequencies beyond the first context", _BEYOND)):
            yield f"{path}.{name}", tuple(value.frequencies(n))
    elif is_dataclass(value) and not isinstance(value, type):
        yield f"{path} kind".strip(), type(value).__name__
        for field in fields(value):
            if field.name in _LAYOUT:
                continue
            inner = getattr(value, field.name)
            if isinstance(value, Attention) and field.name == "scale":
                inner = value.score_scale
            yield from _flat(f"{path}.{field.name}".lstrip("."), inner)
    elif isinstance(value, tuple):
        yield f"number of {path}", len(value)
        for i, item in enumerate(value):
            yield from _flat(f"{path}[{i}]", item)
    else:
        yield path, value


def _alike(one: object, other: object) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_FLOAT32)
    return one == other


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
