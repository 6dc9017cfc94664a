"""The trace of a handmade program: every matrix by name."""

from __future__ import annotations

import numpy as np
import pytest

from zeropoint.errors import BadInput
from zeropoint.learn.handmade.programs import names, program
from zeropoint.learn.handmade.trace import trace_program


def test_matrices_have_the_names_of_weights_and_taps() -> None:
    traced = trace_program(program("aab"), "aabaab", n_characters=5)
    steps = {step.name: step for step in traced.steps}
    assert (traced.text, traced.prediction, traced.expected) == ("aabaa", "b", "b")
    weights = steps["blocks.0.attention, head 0, weights"]
    assert weights.rows == weights.columns == ("0:a", "1:a", "2:b", "3:a", "4:a")
    np.testing.assert_allclose(weights.values[4], [0, 0, 0, 0.5, 0.5])
    context = steps["blocks.0.attention, head 0, context"]
    assert context.values[:, context.columns.index("balance")].tolist() == [1, 1, 0, 0, 1]


@pytest.mark.parametrize("name", names())
def test_every_row_and_column_has_a_name(name: str) -> None:
    p = program(name)
    for step in trace_program(p, p.tokens[:2]).steps:
        assert step.values.shape == (len(step.rows), len(step.columns)), step.name


def test_a_long_text_is_cut_to_its_last_tokens() -> None:
    assert trace_program(program("aab"), "aab" * 5).text == "abaab"


@pytest.mark.parametrize(
    ("text", "n_characters", "message"), [("", None, "is empty"), ("abc", None, "'c'"), ("ab", 3, "1 to 2")]
)
def test_unreadable_texts_are_rejected(text: str, n_characters: int | None, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        trace_program(program("aab"), text, n_characters)
