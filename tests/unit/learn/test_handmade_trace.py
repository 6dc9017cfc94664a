"""The trace of a handmade program: every matrix by name."""

from __future__ import annotations

import numpy as np
import pytest

from zeropoint.errors import BadInput
from zeropoint.learn.handmade.programs import names, program
from zeropoint.learn.handmade.trace import run


def test_the_matrices_are_named_as_weights_and_taps_are() -> None:
    traced = run(program("aab"), "aabaab", at=5)
    found = {step.name: step for step in traced.steps}
    assert (traced.text, traced.answer, traced.right) == ("aabaa", "b", "b")
    weights = found["blocks.0.attention, head 0, weights"]
    assert weights.rows == weights.columns == ("0:a", "1:a", "2:b", "3:a", "4:a")
    np.testing.assert_allclose(weights.values[4], [0, 0, 0, 0.5, 0.5])
    mix = found["blocks.0.attention, head 0, mix"]
    assert mix.values[:, mix.columns.index("balance")].tolist() == [1, 1, 0, 0, 1]


@pytest.mark.parametrize("name", names())
def test_every_matrix_has_a_name_for_each_row_and_column(name: str) -> None:
    p = program(name)
    for step in run(p, p.tokens[:2]).steps:
        assert step.values.shape == (len(step.rows), len(step.columns)), step.name


def test_a_long_text_is_read_from_its_end() -> None:
    assert run(program("aab"), "aab" * 5).text == "abaab"


@pytest.mark.parametrize(
    ("text", "at", "says"), [("", None, "is empty"), ("abc", None, "'c'"), ("ab", 3, "1 to 2")]
)
def test_what_cannot_be_read_is_refused(text: str, at: int | None, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        run(program("aab"), text, at)
