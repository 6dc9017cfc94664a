"""Interventions: modifications of a forward pass, the same for every engine.

`AddVector` adds a vector to every token's residual stream, for example a steering vector (Turner et al.,
"Activation Addition: Steering Language Models Without Optimization", 2023). `Scale` multiplies one head's
output or one feature by a factor; a factor of 0 ablates it (Michel et al., "Are Sixteen Heads Really Better
than One?", 2019). `compile_interventions` checks them against a blueprint and converts both to one form,
`PointEdit`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from zeropoint.blueprint.spec import Blueprint
from zeropoint.blueprint.taps import TapPoint, split_point, tap_points
from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen

__all__ = ["AddVector", "Intervention", "PointEdit", "Scale", "compile_interventions", "intervention_points"]

# Taps through which all information passes: whatever follows reads the tensor only here. So is a block's
# `output`.
_MODIFIABLE = (
    *("embedding.output", "after_attention", "after_recurrence", "after_ffn"),
    *("ffn.hidden", "attention.context"),
)
_NO_END = 2**31 - 1  # more positions than any context holds


@frozen
class AddVector:
    """Add scale * vector at a tap such as "blocks.10.after_ffn", for positions start to stop - 1.

    vector: one number per column, D in the residual stream; stored as a tuple. stop: None for no end.
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
            raise BadInput(
                f"the vector to add at {self.point} is not a flat list of numbers; pass one number per column"
            ) from None


@frozen
class Scale:
    """Multiply the output of one head (at attention.context) or one feature (at other taps) by `factor`.

    factor: 0 ablates it. start, stop: as in `AddVector`.
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
    """For positions first to end - 1, replace n_columns columns from `column` on by factor * columns +
    addend.

    Heads are concatenated along the columns. addend: one number per column, or empty to add nothing.
    """

    point: str
    first: int
    end: int
    column: int
    n_columns: int
    factor: float
    addend: tuple[float, ...]


def intervention_points(blueprint: Blueprint) -> dict[str, TapPoint]:
    """The taps at which interventions are allowed: names to taps, for one token."""
    return {
        name: tap
        for name, tap in tap_points(blueprint, 1).items()
        if name.startswith(("blocks.", "embedding."))
        and (name.endswith(_MODIFIABLE) or split_point(name)[0] == "output")
    }


def compile_interventions(
    blueprint: Blueprint, interventions: Sequence[Intervention]
) -> tuple[PointEdit, ...]:
    """Check interventions and convert them to one form, in the same order.

    Raises BadInput for an unknown tap, a wrong size, or a head or feature that does not exist.
    """
    known = intervention_points(blueprint) if interventions else {}
    return tuple(_edit(known, intervention) for intervention in interventions)


def _edit(known: dict[str, TapPoint], intervention: Intervention) -> PointEdit:
    if intervention.point not in known:
        raise BadInput(_unknown_point(intervention.point, known))
    tap = known[intervention.point]
    first, end = _positions(intervention)
    if isinstance(intervention, AddVector):
        return _addition(intervention, tap, first, end)
    if not math.isfinite(intervention.factor):
        raise BadInput(f"the factor at {intervention.point} is {intervention.factor}; pass a finite number")
    is_heads = tap.axes[0] == "H"
    index, kind = (intervention.head, "head") if is_heads else (intervention.feature, "feature")
    other = intervention.feature if is_heads else intervention.head
    if index is None or other is not None:
        raise BadInput(
            f"scaling {intervention.point} needs the index of one {kind}; pass {kind}= and nothing else"
        )
    n = tap.shape[0] if is_heads else tap.shape[-1]
    if not 0 <= index < n:
        raise BadInput(f"{intervention.point} has no {kind} {index}; it has {kind}s 0 to {n - 1}")
    width = tap.shape[-1] if is_heads else 1
    return PointEdit(intervention.point, first, end, index * width, width, float(intervention.factor), ())


def _unknown_point(point: str, known: dict[str, TapPoint]) -> str:
    """The message for an unknown point: the known ones without repeating them for every layer."""
    message, _, rest = choices("intervention point", point, known).partition("; expected one of ")
    _, has_closest, closest = rest.partition(" (closest: ")
    names = sorted({re.sub(r"^blocks\.\d+", "blocks.N", name) for name in known})
    last_layer = max(split_point(name)[1] for name in known)
    hint = f" (closest: {closest}" if has_closest else ""
    return f"{message}; expected one of {', '.join(names)} with layer N from 0 to {last_layer}{hint}"


def _addition(intervention: AddVector, tap: TapPoint, first: int, end: int) -> PointEdit:
    if tap.axes[0] == "H":
        raise BadInput(
            f"cannot add a vector at {intervention.point}; add it to the residual stream or to ffn.hidden"
        )
    addend = tuple(intervention.scale * x for x in intervention.vector)
    if len(addend) != tap.shape[-1]:
        raise BadInput(
            f"the vector to add at {intervention.point} has {len(addend)} numbers; expected {tap.shape[-1]}"
        )
    if not all(map(math.isfinite, addend)):
        raise BadInput(
            f"the vector to add at {intervention.point} contains NaN or infinity; pass finite numbers"
        )
    return PointEdit(intervention.point, first, end, 0, len(addend), 1.0, addend)


def _positions(intervention: Intervention) -> tuple[int, int]:
    end = _NO_END if intervention.stop is None else intervention.stop
    if not 0 <= intervention.start < end <= _NO_END:
        raise BadInput(
            f"the intervention at {intervention.point} covers positions {intervention.start} to "
            f"{intervention.stop}; expected 0 <= start < stop"
        )
    return intervention.start, end
