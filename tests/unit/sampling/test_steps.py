"""The numpy steps on rows computed by hand; tests/mirror compares them with the native versions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.errors import BadInput
from zeropoint.sampling.draw import Sampler, apply_steps, draw, splitmix64, uniform
from zeropoint.sampling.params import SamplingParams
from zeropoint.sampling.steps.dry import Dry, common_prefixes

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
        ({"logit_bias": {1: -100, "3": 2.5, 9: 1}}, [1, 1, 1, 1], [1, -99, 1, 3.5]),
        ({"top_n_sigma": 1}, [0, 0, 3, 1], [OUT, OUT, 3, OUT]),  # deviation 1.22
        ({"top_n_sigma": 2}, [0, 0, 3, 1], [OUT, OUT, 3, 1]),
        ({"typical_p": 0.2}, [0, 2, 2, 2], [OUT, 2, OUT, OUT]),
        ({"typical_p": 0.5}, [3, 1, 1, 1], [3, OUT, OUT, OUT]),
        ({"xtc_probability": 1, "xtc_threshold": 0.2}, [1, 3, 2, 3], [1, OUT, 2, 3]),
        ({"xtc_probability": 1, "xtc_threshold": 0.4}, [1, 5, 2, 3], [1, 5, 2, 3]),
        ({"mirostat_tau": 0.5}, [0, 0, 0, 1], [OUT, OUT, OUT, 1]),
        ({"mirostat_tau": 2}, [0, 0, 0, 1], [0, 0, 0, 1]),
        ({"dry_multiplier": 1, "dry_allowed_length": 1}, [0, 0, 0, 0], [0, -1.75, 0, 0]),
    ],
)
def test_step(flat: dict[str, Any], before: list[float], after: list[float]) -> None:
    row_V = np.array(before, np.float32)
    # The prompt is 0, 1; the output so far is 1, 1, 2. For DRY, the text ends with 1.
    history = [0, 1, 1, 1] if "dry_multiplier" in flat else [0, 1, 1, 1, 2]
    result_V = apply_steps(SamplingParams.of(**flat).active(), row_V, history, 2)
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


def test_dry_penalizes_what_continues_the_longest_repetition() -> None:
    history = [1, 2, 3, 4, 0, 2, 3, 5, 0, 1, 2, 3]
    step = Dry(dry_multiplier=1, dry_base=2, dry_allowed_length=2)
    # 4 followed three tokens (2^1), 5 followed two (2^0).
    result_V = step(np.zeros(6, np.float32), history)
    np.testing.assert_array_equal(result_V, np.array([0, 0, 0, 0, -2, -1], np.float32))
    np.testing.assert_array_equal(
        replace(step, breaker_ids=frozenset({1}))(np.zeros(6, np.float32), history),
        np.array([0, 0, 0, 0, -1, -1], np.float32),  # the match starts after the breaker
    )


def test_dry_finds_its_breakers_in_the_vocabulary() -> None:
    step = Dry(dry_multiplier=1).with_tokenizer(lambda: ["a", "\n", "b:", "c"])
    assert step.breaker_ids == {1, 2}


@given(st.lists(st.integers(0, 2), max_size=40))
def test_common_prefixes_are_those_of_the_definition(text: list[int]) -> None:
    for i, length in enumerate(common_prefixes(text)):
        assert text[i : i + length] == text[:length]
        assert i + length == len(text) or text[i + length] != text[length]


def test_typical_p_prefers_the_expected_surprise_to_the_best_token() -> None:
    # Probabilities 0.4 and six of 0.1: the entropy, 1.91, is closer to 2.30 than to 0.92.
    row_V = np.log(np.array([0.4, *[0.1] * 6], np.float32))
    kept = np.isfinite(apply_steps(SamplingParams.of(typical_p=0.25).active(), row_V, []))
    assert kept.tolist() == [False, True, True, True, False, False, False]


def test_xtc_acts_as_often_as_it_says() -> None:
    row_V = np.zeros(3, np.float32)
    steps = SamplingParams.of(xtc_probability=0.3, xtc_threshold=0.2).active()
    acted = sum(bool(np.isinf(apply_steps(steps, row_V, [0] * n, 0, 7)).any()) for n in range(1000))
    assert abs(acted - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7)


def test_mirostat_holds_the_surprise_at_its_target() -> None:
    rng = np.random.default_rng(1)
    sampler = Sampler(SamplingParams.of(mirostat_tau=3).active(), 5)
    plain, held = [], []
    for position in range(600):
        row_V = rng.normal(0, 1.5, 500).astype(np.float32)
        bits_V = -(row_V - np.log(np.exp(row_V.astype(np.float64)).sum())) / np.log(2)
        plain.append(bits_V[draw(row_V, 5, position)])
        held.append(bits_V[sampler.sample(row_V, [], position)])
    assert np.mean(plain) > 7
    assert np.mean(held[100:]) < 5


@pytest.mark.parametrize(
    "bad", [{"-1": 1}, {"a": 1}, {"1": 101}, {"1": float("nan")}, ["1"], ["1=x"], 5, {1: None}]
)
def test_an_invalid_bias_is_named(bad: Any) -> None:
    with pytest.raises(BadInput, match="logit_bias takes token ids"):
        SamplingParams.of(logit_bias=bad)


def test_biases_are_read_from_text() -> None:
    params = SamplingParams.of(logit_bias=["198=-100", "5=+2.5"])
    assert params.flat() == {"logit_bias": {198: -100.0, 5: 2.5}}
    assert SamplingParams.of(**params.flat()) == params
