"""Every sampling step in numpy equals its native version; new steps are tested without an edit here."""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from zeropoint import _native
from zeropoint.errors import BadInput
from zeropoint.options import Option, options_of
from zeropoint.sampling.draw import Sampler, draw, sample, uniform
from zeropoint.sampling.params import SamplingParams
from zeropoint.sampling.step import Step, step_classes

Row = NDArray[np.float32]
HISTORY = np.array([5, 5, 7, 3, 5, 1, 0, 7], dtype=np.int32)


def values(option: Option) -> list[float]:
    """The ends of the range and some values between, in the option's type."""
    low = option.minimum if option.minimum is not None else -10.0
    high = min(option.maximum if option.maximum is not None else 10.0, 2000)
    inner = [low + (high - low) * share for share in (0.001, 0.03, 0.2, 0.5, 0.9, 0.999)]
    ends = [*([] if option.is_open else [low]), high]
    return sorted(
        {option.check(int(v) if option.type is int else v) for v in (*ends, *inner) if v > low or v in ends}
    )


def rows() -> dict[str, Row]:
    rng = np.random.default_rng(7)
    peaked = rng.normal(0, 4, 4099).astype(np.float32)
    masked = peaked.copy()
    masked[::3] = -np.inf
    return {
        "peaked": peaked,
        "flat": rng.normal(0, 0.1, 1000).astype(np.float32),
        "all equal": np.zeros(64, np.float32),
        "many ties": rng.integers(-3, 4, 500).astype(np.float32),
        "masked": masked,
        "tiny": np.array([0.5, -1, 2, 2, -0.0, 1, 1, 1], np.float32),
        "far apart": np.array([1e30, -1e30, 3, 1e30, 0, 0, 0, 0], np.float32),
    }


def native(steps: tuple[Step, ...], seed: int = 0) -> Any:
    return _native.Sampler([(step.name, step.native_fields()) for step in steps], seed)


def step_cases() -> list[Any]:
    cases = []
    for cls in step_classes():
        table = options_of(cls)
        for chosen in product(*(values(option) for option in table)):
            step = cls(**{option.name: value for option, value in zip(table, chosen, strict=True)})
            cases.append(pytest.param(step, id=f"{step.name}-{chosen}"))
    return cases


def test_every_step_has_a_native_version() -> None:
    assert sorted(_native.sampler_steps()) == sorted(
        cls.__module__.rpartition(".")[2] for cls in step_classes()
    )


@pytest.mark.parametrize("n_prompt", [0, 3])
@pytest.mark.parametrize("step", step_cases())
def test_step_gives_the_same_logits(step: Step, n_prompt: int) -> None:
    for name, row_V in rows().items():
        native_V = native((step,)).apply(row_V, HISTORY, n_prompt)
        expected_V = row_V if step.is_identity() else step(row_V, HISTORY.tolist(), n_prompt)
        np.testing.assert_array_equal(native_V, expected_V, err_msg=name)


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
@pytest.mark.parametrize(
    "flat",
    [
        {},
        {"temperature": 0},
        {"temperature": 0.7, "top_p": 0.9},
        {"temperature": 1.3, "top_k": 50, "min_p": 0.02},
        {"repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": 0.5, "top_p": 0.5},
        {"mirostat_tau": 2, "mirostat_eta": 0.3},
        {"logit_bias": {3: 5, 7: -100, 5000: 1}, "dry_multiplier": 0.8, "typical_p": 0.9},
        {"xtc_probability": 0.5, "xtc_threshold": 0.01, "top_n_sigma": 3},
    ],
)
def test_draw_gives_the_same_token(flat: dict[str, float], seed: int) -> None:
    steps = SamplingParams.of(**flat).active()
    for name, row_V in rows().items():
        sampler, reference = native(steps, seed), Sampler(steps, seed)
        for position in range(50):
            expected = reference.sample(row_V, HISTORY.tolist(), position)
            assert sampler.sample(row_V, HISTORY, position) == expected, (name, position)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("flat", [{}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.5}, {"min_p": 0.5}])
def test_a_row_without_a_finite_maximum_gives_no_token(bad: float, flat: dict[str, float]) -> None:
    row_V = np.zeros(100, np.float32)
    row_V[77] = bad
    steps = SamplingParams.of(**flat).active()
    assert sample(steps, row_V, [], 1, 2) == -1
    assert native(steps).sample(row_V, HISTORY, 2) == -1


def test_a_row_without_candidates_gives_no_token() -> None:
    row_V = np.full(20, -np.inf, np.float32)
    assert draw(row_V, 1, 2) == -1
    assert native(()).sample(row_V, HISTORY, 2) == -1
    assert native(()).sample(np.zeros(0, np.float32), HISTORY, 2) == -1


def test_draws_follow_the_distribution() -> None:
    probability_V = np.array([0.1, 0.2, 0.3, 0.4])
    row_V = np.log(probability_V).astype(np.float32)
    sampler, n = native((), 3), 4000
    counts = np.bincount([sampler.sample(row_V, HISTORY, p) for p in range(n)], minlength=4)
    # A bound of five standard deviations of the binomial count.
    assert np.all(np.abs(counts - n * probability_V) < 5 * np.sqrt(n * probability_V * (1 - probability_V)))


def test_uniform_is_in_the_half_open_unit_interval() -> None:
    drawn = [uniform(seed, position) for seed in (0, 2**64 - 1) for position in range(200)]
    assert min(drawn) >= 0
    assert max(drawn) < 1
    assert len(set(drawn)) == 400


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("top_x", {"top_x": 1})], "`top_x` has no native implementation"),
        ([("top_k", {"k": 1})], "takes one finite number named `top_k`"),
        ([("top_k", {})], "takes one finite number"),
        ([("top_p", {"top_p": 0})], "above 0"),
        ([("temperature", {"temperature": float("nan")})], "finite"),
    ],
)
def test_an_invalid_step_is_rejected(steps: list[tuple[str, dict[str, float]]], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        _native.Sampler(steps, 0)


def test_ids_outside_the_vocabulary_are_ignored() -> None:
    row_V = np.zeros(4, np.float32)
    penalty = native(SamplingParams.of(presence_penalty=1).active())
    history = np.array([-1, 2, 4, 2**31 - 1], np.int32)
    np.testing.assert_array_equal(penalty.apply(row_V, history), np.array([0, 0, -1, 0], np.float32))


def test_steps_are_frozen() -> None:
    for cls in step_classes():
        name = dataclasses.fields(cls)[0].name  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(cls(), name, 1)
