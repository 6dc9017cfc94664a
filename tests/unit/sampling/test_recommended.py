"""The publisher's sampling settings: read from and written to both kinds of model files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zeropoint.sampling.params import SamplingParams
from zeropoint.sampling.recommended import (
    CHAT_DEFAULTS,
    from_generation_config,
    from_gguf,
    to_generation_config,
    to_gguf,
)


def ignore(text: str) -> None:
    raise AssertionError(text)


QWEN = {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05}


@pytest.mark.parametrize(
    ("config", "sampling"),
    [
        (QWEN, {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05}),
        ({"temperature": 0.6, "top_p": 0.9, "eos_token_id": [1, 2]}, {"temperature": 0.6, "top_p": 0.9}),
        ({"do_sample": False, "temperature": 0.9, "top_k": 5}, {"temperature": 0.0}),
        (
            {"do_sample": False, "repetition_penalty": 1.1},
            {"temperature": 0.0, "repetition_penalty": 1.1},
        ),
        ({"min_p": 0.1, "top_k": None}, {"min_p": 0.1}),
        ({}, {}),
    ],
)
def test_generation_config_is_read(config: dict[str, Any], sampling: dict[str, float]) -> None:
    assert from_generation_config(config, "x", ignore) == sampling


@pytest.mark.parametrize("config", [QWEN, {"do_sample": False}, {"do_sample": True, "min_p": 0.02}, {}])
def test_generation_config_survives_a_gguf_file(config: dict[str, Any]) -> None:
    sampling = from_generation_config(config, "x", ignore)
    stored = {
        key: value if type(value) is int else float(np.float32(value))
        for key, value in to_gguf(sampling).items()
    }
    assert to_generation_config(from_gguf(stored, "x", ignore)) == config


def test_the_keys_are_those_of_llama_cpp() -> None:
    from gguf import constants

    keys = constants.Keys.General
    assert to_gguf(from_generation_config({**QWEN, "min_p": 0.1}, "x", ignore)) == {
        keys.SAMPLING_TEMP: 0.7,
        keys.SAMPLING_TOP_K: 20,
        keys.SAMPLING_TOP_P: 0.8,
        keys.SAMPLING_MIN_P: 0.1,
        keys.SAMPLING_PENALTY_REPEAT: 1.05,
    }


@pytest.mark.parametrize("value", [3.5, -1, "0.7", float("nan"), [1], True])
def test_a_value_out_of_range_is_reported_and_ignored(value: object) -> None:
    notices: list[str] = []
    metadata = {"general.sampling.temp": value, "general.sampling.top_k": -1}
    assert from_gguf(metadata, "m.gguf", notices.append) == {"top_k": 0}
    (notice,) = notices
    assert notice.startswith("m.gguf: a recommended sampling parameter is ignored: temperature must be")


def test_chat_defaults_are_valid_parameters() -> None:
    assert SamplingParams.of(**CHAT_DEFAULTS).flat() == CHAT_DEFAULTS
