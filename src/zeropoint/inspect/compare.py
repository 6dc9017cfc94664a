"""Compare the native engine with the torch model, tap by tap, in one forward pass over the same file and
text.

Taps that both engines offer (`blueprint/taps.py`) are compared in the order of the forward pass, so that the
first difference shows where an error arises and not where it becomes visible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.convert.run_gguf import open_native
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.tap_requests import native_taps
from zeropoint.engine_options import EngineOptions
from zeropoint.weights.open_model import read_model

__all__ = ["TOLERANCE", "Comparison", "TapDifference", "by_layer", "compare"]

TOLERANCE = 1e-4  # relative to the largest value at a tap: several float32 roundings in sequence

Array = NDArray[np.float32]


@dataclass(frozen=True)
class TapDifference:
    """One tap. difference: largest absolute difference. largest: largest reference value."""

    name: str
    difference: float
    largest: float

    @property
    def relative(self) -> float:
        """The difference divided by the largest value."""
        return self.difference / self.largest if self.largest else self.difference


@dataclass(frozen=True)
class Comparison:
    """All taps in forward order. same_top: share of positions with the same most probable token."""

    points: list[TapDifference]
    tolerance: float
    same_top: float

    @property
    def first(self) -> TapDifference | None:
        """The first tap whose relative difference exceeds the tolerance or is NaN, or None."""
        return next((point for point in self.points if not point.relative <= self.tolerance), None)


def compare(
    path: Path,
    ids: Sequence[int],
    *,
    n_threads: int | None = None,
    isa: str | None = None,
    is_exact: bool = True,
    tolerance: float = TOLERANCE,
) -> Comparison:
    """Run the ids through both engines. Needs torch. is_exact: compare exact mode, else the fast one.

    Raises BadInput for a model that either engine cannot run, BadModelFile for a broken file.
    """
    file = open_native(path)
    opened = read_model(file)
    from zeropoint.models.build import build, load
    from zeropoint.models.trace import trace

    n_ctx = min(opened.blueprint.n_ctx, max(len(ids), 16))
    engine = NativeEngine(
        file,
        opened.blueprint,
        EngineOptions(context=n_ctx, threads=n_threads, isa=isa, exact=is_exact),
    )
    native = engine.trace(ids, native_taps(opened.blueprint)).points
    engine.close()
    module = build(opened.blueprint, seed=None)
    load(module, opened.weights)
    reference = {
        name: tensor.numpy()
        for name, tensor in trace(module, ids, points=list(native), n_positions=n_ctx).items()
    }
    points = [_difference(name, tensor, reference[name]) for name, tensor in native.items()]
    same_top = (native["logits"].argmax(-1) == reference["logits"].argmax(-1)).mean()
    return Comparison(points, tolerance, float(same_top))


def _difference(name: str, native: Array, reference: Array) -> TapDifference:
    return TapDifference(name, float(np.abs(native - reference).max()), float(np.abs(reference).max()))


def by_layer(comparison: Comparison) -> Mapping[str, TapDifference]:
    """The largest relative difference of each block, and of each tap outside the blocks."""
    worst: dict[str, TapDifference] = {}
    for point in comparison.points:
        parts = point.name.split(".")
        key = ".".join(parts[:2]) if parts[0] == "blocks" else point.name
        if key not in worst or point.relative > worst[key].relative:
            worst[key] = point
    return worst
