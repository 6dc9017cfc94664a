"""The numpy steps on rows computed by hand; tests/mirror compares them with the native versions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zeropoint.sampling.draw import apply_steps, draw, splitmix64, uniform
from zeropoint.sampling.params import SamplingParams

OUT = -np.inf


@pytest.mark.parametrize(
    ("flat", "before", "after"),
    [
        ({"repetition_penalty": 2}, [2, -2, 4, 8], [1, -4, 2, 8]),
        ({"presence_penalty": 1}, [2, -2, 4, 8], [2, -3, 3, 8]),
        ({"frequency_penalty": 0.5}, [2, -2, 4, 8], [2, -3, 3.5, 8]),
        ({"temperature": 0.5}, [2, -2, 4, 8], [4, -4, 8, 16]),
        ({"temperature": 0}, [2, 8, 4, 8], [OUT, 8, OUT, OUT]),
        ({"top_k": 2}, [1, 3, 3, 3], [OUT, 3, 3, OUT]),
        ({"top_k": 9}, [1, 3, 3, 3], [1, 3, 3, 3]),
        ({"top_p": 0.5}, [1, 1, 1, 1], [1, 1, OUT, OUT]),
        ({"top_p": 0.51}, [1, 1, 1, 1], [1, 1, 1, OUT]),
        ({"top_p": 1e-9}, [1, 2, 3, 2], [OUT, OUT, 3, OUT]),
        ({"min_p": 0.5}, [0, -0.6, -0.7, OUT], [0, -0.6, OUT, OUT]),
    ],
)
def test_step(flat: dict[str, Any], before: list[float], after: list[float]) -> None:
    row_V = np.array(before, np.float32)
    # The prompt is 0, 1; the output so far is 1, 1, 2.
    result_V = apply_steps(SamplingParams.of(**flat).active(), row_V, [0, 1, 1, 1, 2], 2)
    np.testing.assert_array_equal(result_V, np.array(after, np.float32))
    np.testing.assert_array_equal(row_V, np.array(before, np.float32))
    assert result_V.dtype == np.float32


def test_generator_matches_the_published_sequence() -> None:
    # First outputs of the reference implementation (Vigna, splitmix64.c) for seed 1234567.
    outputs = [splitmix64(1234567, position) for position in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_draw_picks_the_first_id_whose_cumulative_probability_exceeds_u() -> None:
    row_V = np.log(np.array([0.25, 0.25, 0.5], np.float32))
    for position in range(100):
        u = uniform(3, position)
        assert draw(row_V, 3, position) == (0 if u < 0.25 else 1 if u < 0.5 else 2)


def test_an_excluded_token_is_never_drawn() -> None:
    row_V = np.array([OUT, 0, OUT, 0, OUT], np.float32)
    assert {draw(row_V, 9, position) for position in range(50)} == {1, 3}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_without_a_finite_maximum_gives_no_token(bad: float) -> None:
    assert draw(np.array([0, bad], np.float32), 1, 1) == -1
    assert draw(np.array([OUT, OUT], np.float32), 1, 1) == -1
