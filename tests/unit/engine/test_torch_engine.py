"""The torch engine implements the engine contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.support.tiny_blueprints import DECODERS
from zeropoint.engine.contract import Engine, Event, Request, Stepper
from zeropoint.engine.torch.engine import TorchEngine
from zeropoint.errors import BadInput, ContextFull, MachineError
from zeropoint.models.build import build
from zeropoint.sampling.draw import sample
from zeropoint.sampling.params import SamplingParams

PROMPT = [3, 1, 4, 1, 5]


@pytest.fixture
def engine() -> TorchEngine:
    module = build(DECODERS["llama"])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(8)
    return TorchEngine(module, n_ctx=24)  # type: ignore[arg-type]


def run(engine: Engine, **sampling: Any) -> list[Event]:
    events = []
    engine.submit(Request(PROMPT, SamplingParams.of(**sampling)))
    while not events or events[-1].finish is None:
        events += engine.step()
    return events


@pytest.mark.heavy
def test_generated_tokens_equal_sampling_by_hand(engine: TorchEngine) -> None:
    flat = {"temperature": 1.3, "top_p": 0.9, "repetition_penalty": 1.2}
    events = run(engine, seed=7, max_tokens=6, **flat)
    stepper: Stepper = engine.stepper()
    tokens, steps = list(PROMPT), SamplingParams.of(**flat).active()
    logits_V = stepper.extend(PROMPT)[-1]
    for _ in range(6):
        tokens.append(sample(steps, logits_V, tokens, 7, len(tokens), len(PROMPT)))
        logits_V = stepper.extend(tokens[-1:])[-1]
    assert [event.token for event in events] == tokens[5:]
    assert [event.finish for event in events] == [None] * 5 + ["length"]
    assert (events[0].n_prompt, events[0].n_cached, events[0].n_read) == (5, 0, 5)


def test_stop_token_ends_the_answer_and_is_not_part_of_it(engine: TorchEngine) -> None:
    token = run(engine, temperature=0, max_tokens=1)[0].token
    assert token is not None
    engine.submit(Request(PROMPT, SamplingParams.of(temperature=0), stop_ids=[token]))
    [event] = engine.step()
    assert (event.token, event.finish) == (None, "stop")
    assert engine.step() == []


def test_answer_ends_when_the_context_is_full(engine: TorchEngine) -> None:
    assert len(run(engine, seed=1)) == 24 - 5


def test_concurrent_requests_equal_separate_requests(engine: TorchEngine) -> None:
    alone = [event.token for event in run(engine, seed=1, max_tokens=4)]
    numbers = [engine.submit(Request(PROMPT, SamplingParams.of(seed=1, max_tokens=4))) for _ in range(2)]
    events = [event for _ in range(4) for event in engine.step()]
    for number in numbers:
        assert [event.token for event in events if event.request == number] == alone


def test_cancelled_request_finishes_with_an_event(engine: TorchEngine) -> None:
    number = engine.submit(Request(PROMPT, SamplingParams()))
    engine.cancel(number)
    engine.cancel(number + 1)
    [event] = engine.step()
    assert (event.request, event.token, event.finish) == (number, None, "cancelled")


@pytest.mark.heavy
def test_logprobs_equal_scores(engine: TorchEngine) -> None:
    engine.submit(Request(PROMPT, SamplingParams.of(temperature=0, max_tokens=1), wants_logprobs=True))
    [event] = engine.step()
    assert event.token is not None
    scores = engine.score([*PROMPT, event.token])
    assert scores.dtype == np.float32
    assert scores.shape == (5,)
    assert event.logprob == pytest.approx(scores[-1], abs=1e-5)
    assert event.top_logprobs == []


@pytest.mark.heavy
def test_top_logprobs_are_the_most_probable_tokens(engine: TorchEngine) -> None:
    greedy = SamplingParams.of(temperature=0, max_tokens=1)
    engine.submit(Request(PROMPT, greedy, wants_logprobs=True, n_top_logprobs=3))
    [event] = engine.step()
    logits_V = engine.stepper().extend(PROMPT)[-1]
    assert [token for token, _ in event.top_logprobs] == np.argsort(-logits_V)[:3].tolist()
    assert event.top_logprobs[0] == (event.token, event.logprob)


@pytest.mark.heavy
def test_stepper_rolls_back(engine: TorchEngine) -> None:
    stepper = engine.stepper()
    first = stepper.extend(PROMPT)
    assert first.shape == (5, 61)
    stepper.rollback(2)
    assert stepper.n_tokens == 3
    np.testing.assert_allclose(stepper.extend(PROMPT[3:]), first[3:], atol=1e-5)
    assert stepper.extend([]).shape == (0, 61)
    with pytest.raises(BadInput, match="cannot remove 6 tokens; the sequence has 5"):
        stepper.rollback(6)
    stepper.close()
    assert stepper.n_tokens == 0


def test_invalid_requests_are_rejected(engine: TorchEngine) -> None:
    greedy = SamplingParams.of(temperature=0)
    with pytest.raises(BadInput, match="the prompt is empty"):
        engine.submit(Request([], greedy))
    with pytest.raises(BadInput, match="token id 61 is outside the vocabulary of 61"):
        engine.submit(Request([61], greedy))
    with pytest.raises(ContextFull, match="has 24 tokens and the context holds 24"):
        engine.submit(Request([1] * 24, greedy))
    with pytest.raises(ContextFull, match="25 tokens and the cache holds 24"):
        engine.stepper().extend([1] * 25)
    with pytest.raises(BadInput, match="scoring needs 2 to 25"):
        engine.score([1])
    engine.close()
    with pytest.raises(BadInput, match="closed; load it again"):
        engine.stepper()


def test_nan_logits_raise_machine_error(engine: TorchEngine) -> None:
    module = build(DECODERS["llama"])
    with torch.no_grad():
        module.get_parameter("final_norm.weight").fill_(torch.nan)
    broken = TorchEngine(module)  # type: ignore[arg-type]
    broken.submit(Request(PROMPT, SamplingParams()))
    with pytest.raises(MachineError, match="NaN"):
        broken.step()
    assert broken.step() == []
