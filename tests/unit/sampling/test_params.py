"""Sampling parameters: ranges, errors and defaults."""

from __future__ import annotations

from typing import Any

import pytest

from zeropoint.errors import BadInput
from zeropoint.sampling.params import SamplingParams, options
from zeropoint.sampling.step import step_classes


def test_parameters_round_trip() -> None:
    flat = {"temperature": 0.7, "top_k": 40, "seed": 3, "max_tokens": 9, "stop": ("a", "b")}
    flat["stop_repetition"] = False  # given, though it is the default
    params = SamplingParams.of(**flat)
    assert params.flat() == flat
    assert SamplingParams.of(**params.flat()) == params
    assert (params.seed, params.max_tokens, params.stop) == (3, 9, ("a", "b"))


def test_none_means_not_given() -> None:
    assert SamplingParams.of(temperature=None, stop=None, seed=None) == SamplingParams()


def test_steps_run_in_their_own_order() -> None:
    params = SamplingParams.of(min_p=0.1, temperature=0.5, repetition_penalty=1.1)
    assert [step.name for step in params.steps] == ["repetition_penalty", "temperature", "min_p"]


def test_given_values_take_precedence_over_defaults_even_if_they_are_the_identity() -> None:
    params = SamplingParams.of(temperature=1.0).with_defaults({"temperature": 0.2, "top_p": 0.9})
    assert params.flat() == {"temperature": 1.0, "top_p": 0.9}
    assert [step.name for step in params.active()] == ["top_p"]


def test_greedy_sampling_runs_no_step_after_the_temperature() -> None:
    greedy = SamplingParams.of(temperature=0, top_k=40, top_p=0.95, min_p=0.05, repetition_penalty=1.1)
    assert [step.name for step in greedy.active()] == ["repetition_penalty", "temperature"]


@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
def test_every_option_has_a_valid_default_and_help(option: Any) -> None:
    assert option.help.endswith(".")
    if option.default is not None and not option.is_many:
        assert option.check(option.default) == option.default
        assert type(option.default) is option.type


def test_every_step_is_the_identity_by_default() -> None:
    assert all(cls().is_identity() for cls in step_classes())
    assert len({cls.order for cls in step_classes()}) == len(step_classes())


NUMBERS = [option for option in options() if option.type in (int, float)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -(10**400), 10**400, True, "0.7", [1], None])
@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.name)
def test_numbers_outside_the_range_are_rejected(option: Any, value: object) -> None:
    with pytest.raises(BadInput, match=f"^{option.name} must be a") as caught:
        option.check(value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        ({"temperature": 2.1}, "temperature must be a number between 0 and 2; got 2.1"),
        ({"temperature": -1}, "between 0 and 2"),
        ({"top_p": 0}, "above 0"),
        ({"top_p": 1.5}, "at most 1"),
        ({"top_k": -2}, "between 0 and 2147483647"),
        ({"top_k": 1.5}, "whole number"),
        ({"presence_penalty": -2.1}, "between -2 and 2"),
        ({"max_tokens": 0}, "between 1 and 2147483647"),
        ({"seed": 2**64}, "between 0 and 18446744073709551615"),
        ({"stop": ""}, "1 to 1024 characters; got 0"),
        ({"stop": ["x"] * 5}, "at most 4"),
        ({"stop": ["x", None]}, "list of strings"),
        ({"stop": 3}, "list of strings"),
        ({"temprature": 1}, "closest: temperature"),
    ],
)
def test_an_invalid_value_is_named(flat: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        SamplingParams.of(**flat)


def test_an_integral_float_is_accepted_as_an_integer() -> None:
    assert SamplingParams.of(top_k=40.0).flat() == {"top_k": 40}
    assert isinstance(SamplingParams.of(temperature=1).flat()["temperature"], float)


def test_a_single_stop_string_needs_no_list() -> None:
    assert SamplingParams.of(stop="END").stop == ("END",)
