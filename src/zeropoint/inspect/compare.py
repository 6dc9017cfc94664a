"""The native engine against the torch model, point by point through one pass of the same text.

Both read the same file. Every point that both show (`blueprint/taps.py`) is compared in the order of the
forward pass, so that the first difference is where something went wrong and not where it was noticed.
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

__all__ = ["TOLERANCE", "Comparison", "Point", "compare"]

TOLERANCE = 1e-4  # of the largest number at a point: some roundings of float32 in a row

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Point:
    """One point: the largest difference, the largest number that the reference has there, and their ratio."""

    name: str
    difference: float
    largest: float

    @property
    def relative(self) -> float:
        """Difference as a part of the largest number."""
        return self.difference / self.largest if self.largest else self.difference


@dataclass(frozen=True)
class Comparison:
    """All points in order. first: the first above the tolerance, or None. same_top: part of the positions at
    which both have the same best token."""

    points: list[Point]
    tolerance: float
    same_top: float

    @property
    def first(self) -> Point | None:
        """Where the two part."""
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
    found = [_point(name, seen, reference[name]) for name, seen in native.items()]
    best = (native["logits"].argmax(-1) == reference["logits"].argmax(-1)).mean()
    return Comparison(found, tolerance, float(best))


def _point(name: str, native: Array, reference: Array) -> Point:
    return Point(name, float(np.abs(native - reference).max()), float(np.abs(reference).max()))


def by_layer(comparison: Comparison) -> Mapping[str, Point]:
    """The worst point of each block, and each point outside of blocks."""
    worst: dict[str, Point] = {}
    for point in comparison.points:
        parts = point.name.split(".")
        key = ".".join(parts[:2]) if parts[0] == "blocks" else point.name
        if key not in worst or point.relative > worst[key].relative:
            worst[key] = point
    return worst
