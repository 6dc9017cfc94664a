"""What may be changed in a pass: brought into one form, or refused in a sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.support.tiny_blueprints import DECODERS
from zeropoint.blueprint.interventions import (
    AddVector,
    Intervention,
    PointEdit,
    Scale,
    compile_interventions,
    intervention_points,
)
from zeropoint.errors import BadInput

LLAMA = DECODERS["llama"]  # 2 layers, D 32, 4 heads of 8, F 48
STREAM = "blocks.1.after_ffn"


def test_both_kinds_have_one_form() -> None:
    add = AddVector(STREAM, np.arange(32, dtype=np.float32), scale=2.0, start=3)
    head = Scale("blocks.0.attention.context", head=2)
    feature = Scale("blocks.0.ffn.hidden", feature=47, factor=-1.0, start=1, stop=2)
    added, silenced, scaled = compile_interventions(LLAMA, [add, head, feature])
    assert added == PointEdit(STREAM, 3, 2**31 - 1, 0, 32, 1.0, tuple(2.0 * i for i in range(32)))
    assert silenced == PointEdit("blocks.0.attention.context", 0, 2**31 - 1, 16, 8, 0.0, ())
    assert scaled == PointEdit("blocks.0.ffn.hidden", 1, 2, 47, 1, -1.0, ())
    assert compile_interventions(LLAMA, []) == ()


@pytest.mark.parametrize("name", DECODERS)
def test_every_model_has_a_stream_to_change(name: str) -> None:
    known = intervention_points(DECODERS[name])
    assert "embedding.output" in known
    blocks = DECODERS[name].blocks
    for i, block in enumerate(blocks):
        assert (f"blocks.{i}.attention.context" in known) == (block.attention is not None)
    assert {f"blocks.0.after_{blocks[0].mixer}", "blocks.0.after_ffn"} & set(known)
    assert not [point for point in known if point.endswith(("cross_attention.context", "norm", "weights"))]


@pytest.mark.parametrize(
    ("intervention", "message"),
    [
        (
            Scale("blocks.0.attention.mx", head=0),
            "unknown intervention point .*blocks.N.ffn.hidden, .*from 0 to 1.*closest: blocks.0.attention",
        ),
        (Scale("blocks.0.attention.weights", head=0), "unknown intervention point"),
        (Scale("blocks.2.after_ffn", feature=0), "unknown intervention point"),
        (AddVector(STREAM, [0.0] * 31), "has 31 numbers; expected 32"),
        (AddVector(STREAM, [math.inf] + [0.0] * 31), "contains NaN or infinity"),
        (AddVector(STREAM, [1e300] * 32, scale=1e300), "contains NaN or infinity"),
        (
            AddVector("blocks.0.attention.context", [0.0] * 32),
            "cannot add a vector at blocks.0.attention.context",
        ),
        (Scale("blocks.0.attention.context", head=4), "has no head 4; it has heads 0 to 3"),
        (Scale("blocks.0.attention.context", feature=1), "pass head="),
        (Scale(STREAM, head=1), "pass feature="),
        (Scale(STREAM, feature=-1), "has no feature -1; it has features 0 to 31"),
        (Scale(STREAM, feature=1, factor=math.nan), "factor .* finite"),
        (Scale(STREAM, feature=1, start=4, stop=4), "positions 4 to 4; expected 0 <= start < stop"),
        (Scale(STREAM, feature=1, start=-1), "positions -1"),
    ],
)
def test_invalid_interventions_are_rejected(intervention: Intervention, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        compile_interventions(LLAMA, [intervention])


def test_vector_must_be_a_flat_list_of_numbers() -> None:
    for vector in ("abc", [[1.0, 2.0]], [None]):
        with pytest.raises(BadInput, match="flat list of numbers"):
            AddVector(STREAM, vector)  # type: ignore[arg-type]
