"""Changing a forward pass: what may be added or scaled at which point, the same for every engine.

`AddVector` adds one vector to every token's row of the residual stream: a steering vector (Turner et al.,
"Activation Addition: Steering Language Models Without Optimization", 2023). `Scale` multiplies one head's
output, or one feature, with a factor; with 0 it is silenced (Michel et al., "Are Sixteen Heads Really Better
than One?", 2019). `edits` checks them against a blueprint and brings both into one form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from zeropoint.blueprint.spec import Blueprint
from zeropoint.blueprint.taps import TapPoint, tap_points
from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen

__all__ = ["AddVector", "Intervention", "PointEdit", "Scale", "compile_interventions", "intervention_points"]

# Where the rows at a point are all that is read of them afterwards, so that a change there changes the pass.
_CHANGEABLE = ("embedding.output", "after_attention", "after_ffn", "ffn.hidden", "attention.mix")
_NO_END = 2**31 - 1  # more positions than any context has


@frozen
class AddVector:
    """Add scale * vector to the rows at a point ("blocks.10.after_ffn"), for tokens start to stop.

    vector: as many numbers as a row has, D in the residual stream; kept as a tuple. stop: None for no end.
    """

    point: str
    vector: Iterable[float]
    scale: float = 1.0
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "vector", tuple(float(x) for x in self.vector))
        except (TypeError, ValueError):
            raise BadInput(f"the vector to add at {self.point} must be a flat list of numbers") from None


@frozen
class Scale:
    """Multiply with `factor` the output of one head (at attention.mix) or one feature (elsewhere).

    factor: 0 silences it. start, stop: as in `AddVector`.
    """

    point: str
    head: int | None = None
    feature: int | None = None
    factor: float = 0.0
    start: int = 0
    stop: int | None = None


Intervention = AddVector | Scale


@frozen
class PointEdit:
    """Columns of the rows at a point become factor * column + addend, for positions first to end.

    Rows have heads side by side. addend: a number a column, or empty for nothing.
    """

    point: str
    first: int
    end: int
    column: int
    n_columns: int
    factor: float
    addend: tuple[float, ...]


def intervention_points(blueprint: Blueprint) -> dict[str, TapPoint]:
    """The points whose rows may be changed: name to tap, for one token."""
    return {
        name: tap
        for name, tap in tap_points(blueprint, 1).items()
        if name.startswith(("blocks.", "embedding.")) and name.endswith(_CHANGEABLE)
    }


def compile_interventions(
    blueprint: Blueprint, interventions: Sequence[Intervention]
) -> tuple[PointEdit, ...]:
    """Check what is to be changed and bring it into one form, in the same order.

    Raises BadInput for an unknown point, a wrong size, a head or feature that is not there.
    """
    known = intervention_points(blueprint) if interventions else {}
    return tuple(_edit(known, write) for write in interventions)


def _edit(known: dict[str, TapPoint], write: Intervention) -> PointEdit:
    if write.point not in known:
        raise BadInput(choices("point to change", write.point, known))
    tap = known[write.point]
    first, end = _positions(write)
    if isinstance(write, AddVector):
        return _addition(write, tap, first, end)
    if not math.isfinite(write.factor):
        raise BadInput(f"the factor at {write.point} is {write.factor}; give a finite number")
    is_heads = tap.axes[0] == "H"
    index, kind = (write.head, "head") if is_heads else (write.feature, "feature")
    other = write.feature if is_heads else write.head
    if index is None or other is not None:
        raise BadInput(f"scaling {write.point} takes the number of one {kind}; give {kind}=")
    n = tap.shape[0] if is_heads else tap.shape[-1]
    if not 0 <= index < n:
        raise BadInput(f"{kind} {index} is not at {write.point}; it has {kind}s 0 to {n - 1}")
    width = tap.shape[-1] if is_heads else 1
    return PointEdit(write.point, first, end, index * width, width, float(write.factor), ())


def _addition(write: AddVector, tap: TapPoint, first: int, end: int) -> PointEdit:
    if tap.axes[0] == "H":
        raise BadInput(f"a vector is added to the residual stream or to ffn.hidden, not to {write.point}")
    addend = tuple(write.scale * x for x in write.vector)
    if len(addend) != tap.shape[-1]:
        raise BadInput(
            f"the vector to add at {write.point} has {len(addend)} numbers; a row there has {tap.shape[-1]}"
        )
    if not all(map(math.isfinite, addend)):
        raise BadInput(f"the vector to add at {write.point} holds a number that is not finite")
    return PointEdit(write.point, first, end, 0, len(addend), 1.0, addend)


def _positions(write: Intervention) -> tuple[int, int]:
    end = _NO_END if write.stop is None else write.stop
    if not 0 <= write.start < end <= _NO_END:
        raise BadInput(
            f"the change at {write.point} has positions {write.start} to {write.stop}; none is in it"
        )
    return write.start, end
