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
    head = Scale("blocks.0.attention.mix", head=2)
    feature = Scale("blocks.0.ffn.hidden", feature=47, factor=-1.0, start=1, stop=2)
    added, silenced, scaled = compile_interventions(LLAMA, [add, head, feature])
    assert added == PointEdit(STREAM, 3, 2**31 - 1, 0, 32, 1.0, tuple(2.0 * i for i in range(32)))
    assert silenced == PointEdit("blocks.0.attention.mix", 0, 2**31 - 1, 16, 8, 0.0, ())
    assert scaled == PointEdit("blocks.0.ffn.hidden", 1, 2, 47, 1, -1.0, ())
    assert compile_interventions(LLAMA, []) == ()


@pytest.mark.parametrize("name", DECODERS)
def test_every_model_has_a_stream_to_change(name: str) -> None:
    known = intervention_points(DECODERS[name])
    assert "embedding.output" in known
    assert "blocks.0.attention.mix" in known
    assert {"blocks.0.after_attention", "blocks.0.after_ffn"} & set(known)
    assert not [point for point in known if point.endswith(("cross_attention.mix", "norm", "weights"))]


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (Scale("blocks.0.attention.mx", head=0), "unknown point to change .*closest: blocks.0.attention.mix"),
        (Scale("blocks.0.attention.weights", head=0), "unknown point to change"),
        (Scale("blocks.2.after_ffn", feature=0), "unknown point to change"),
        (AddVector(STREAM, [0.0] * 31), "has 31 numbers; a row there has 32"),
        (AddVector(STREAM, [math.inf] + [0.0] * 31), "not finite"),
        (AddVector(STREAM, [1e300] * 32, scale=1e300), "not finite"),
        (AddVector("blocks.0.attention.mix", [0.0] * 32), "not to blocks.0.attention.mix"),
        (Scale("blocks.0.attention.mix", head=4), "head 4 is not at .* heads 0 to 3"),
        (Scale("blocks.0.attention.mix", feature=1), "give head="),
        (Scale(STREAM, head=1), "give feature="),
        (Scale(STREAM, feature=-1), "feature -1 is not at .* features 0 to 31"),
        (Scale(STREAM, feature=1, factor=math.nan), "factor .* finite"),
        (Scale(STREAM, feature=1, start=4, stop=4), "positions 4 to 4; none is in it"),
        (Scale(STREAM, feature=1, start=-1), "positions -1"),
    ],
)
def test_what_cannot_be_changed_is_refused(write: Intervention, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        compile_interventions(LLAMA, [write])


def test_a_vector_is_numbers() -> None:
    for vector in ("abc", [[1.0, 2.0]], [None]):
        with pytest.raises(BadInput, match="flat list of numbers"):
            AddVector(STREAM, vector)  # type: ignore[arg-type]
