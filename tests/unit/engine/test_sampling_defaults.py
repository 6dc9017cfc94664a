"""Sampling parameters that the caller does not give: the publisher's, then for chats the built-in ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGUFValueType

import zeropoint
from tests.support.tiny import write_tiny_model
from zeropoint.engine.contract import Request
from zeropoint.sampling.recommended import CHAT_DEFAULTS


def test_chat_fills_in_defaults_and_generate_samples_the_models_own_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_model(tmp_path / "m.gguf", extra={"general.sampling.top_p": (0.5, GGUFValueType.FLOAT32)})
    with zeropoint.load(tmp_path / "m.gguf") as model:
        requests: list[Request] = []
        submit = model.engine.submit

        def record(request: Request) -> int:
            requests.append(request)
            return submit(request)

        monkeypatch.setattr(model.engine, "submit", record)
        model.chat("hi", temperature=0.1, max_tokens=1).close()
        model.generate("hi", max_tokens=1).close()
    chat, generate = (request.params.flat() for request in requests)
    assert chat == {**CHAT_DEFAULTS, "top_p": 0.5, "temperature": 0.1, "max_tokens": 1}
    assert generate == {"top_p": 0.5, "max_tokens": 1}


def test_a_recommendation_out_of_range_is_reported(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "m.gguf", extra={"general.sampling.temp": (7.0, GGUFValueType.FLOAT32)})
    notices: list[str] = []
    with zeropoint.load(tmp_path / "m.gguf", notify=notices.append) as model:
        assert model.defaults == {}
    assert "a recommended sampling parameter is ignored: temperature must be" in notices[0]
