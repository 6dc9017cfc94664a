"""Endless repetition is recognized; what people ask for is not."""

from __future__ import annotations

import pytest

from zeropoint.sampling.repetition import repeated_tail

NOISE = list(range(1000, 1300))


@pytest.mark.parametrize(
    ("period", "n_tokens"), [(1, 128), (2, 128), (10, 240), (21, 504), (60, 512), (128, 512)]
)
def test_a_text_repeated_long_enough_is_found_where_it_reaches_the_threshold(
    period: int, n_tokens: int
) -> None:
    loop = [i % period for i in range(n_tokens)]
    assert repeated_tail(NOISE + loop) == period
    assert repeated_tail(loop) == period
    assert repeated_tail(NOISE + loop[1:]) is None


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param([], id="nothing"),
        pytest.param(NOISE, id="text"),
        pytest.param(list(range(25)) * 20, id="a sentence of 25 tokens, 20 times"),
        pytest.param([7] * 100, id="a ruler of 100 dashes"),
        pytest.param(([5, 6] * 15 + [8]) * 12, id="twelve rows of fifteen zeros"),
        pytest.param([i for n in range(200) for i in (n, 3, 4, 5, 6, 7)], id="a counted list"),
        pytest.param([1, 2] * 60 + [3] + [1, 2] * 60, id="a table with a heading in the middle"),
    ],
)
def test_other_texts_are_not(ids: list[int]) -> None:
    assert repeated_tail(ids) is None
