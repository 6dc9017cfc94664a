"""Torch engine against native engine in exact mode: the same file and seed give the same tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.one_thread import one_thread
from zeropoint.engine.contract import Engine, Request
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.torch.engine import TorchEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.models.build import build, load
from zeropoint.models.decoder import Decoder
from zeropoint.sampling.params import SamplingParams
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import open_model

__all__ = ["one_thread"]

PROMPT = [40, 41, 60, 41, 99, 7]
N_CTX = 64


@pytest.fixture(scope="module")
def engines(tiny_path: Path) -> tuple[Engine, Engine]:
    opened = open_model(tiny_path)
    module = build(opened.blueprint, seed=None)
    load(module, opened.weights)
    assert isinstance(module, Decoder)
    native = NativeEngine(
        open_gguf(tiny_path), opened.blueprint, EngineOptions(context=N_CTX, threads=1, exact=True)
    )
    return TorchEngine(module, n_ctx=N_CTX), native


def answer(engine: Engine, params: SamplingParams, stop_ids: tuple[int, ...] = ()) -> list[Any]:
    """The events of one request, without its number."""
    engine.submit(Request(PROMPT, params, stop_ids))
    events: list[Any] = []
    while not events or events[-1][1] is None:
        events += [(e.token, e.finish, e.n_prompt, e.n_read) for e in engine.step()]
    return events


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
@pytest.mark.parametrize(
    "flat",
    [
        {"temperature": 0},
        {},
        {"temperature": 0.8, "top_p": 0.9},
        {"top_k": 20, "min_p": 0.01, "repetition_penalty": 1.3, "presence_penalty": 0.5},
    ],
    ids=str,
)
def test_seed_gives_the_same_tokens(
    engines: tuple[Engine, Engine], flat: dict[str, float], seed: int
) -> None:
    params = SamplingParams.of(seed=seed, max_tokens=40, **flat)
    ours, native = (answer(engine, params) for engine in engines)
    assert ours == native
    assert len(ours) == 40
    third = ours[2][0]
    assert answer(engines[0], params, (third,)) == answer(engines[1], params, (third,))


def test_tokens_agree_until_the_context_is_full(engines: tuple[Engine, Engine]) -> None:
    params = SamplingParams.of(seed=4)
    ours, native = (answer(engine, params) for engine in engines)
    assert ours == native
    assert len(ours) == N_CTX - len(PROMPT)


def test_scores_and_steppers_agree(engines: tuple[Engine, Engine]) -> None:
    ids = np.random.default_rng(1).integers(3, 250, 30).tolist()
    ours, native = engines
    np.testing.assert_allclose(ours.score(ids), native.score(ids), atol=1e-4)
    steppers = [engine.stepper() for engine in engines]
    for stepper in steppers:
        stepper.extend(ids[:20])
        stepper.rollback(5)
    logits = [stepper.extend(ids[15:]) for stepper in steppers]
    np.testing.assert_allclose(*logits, atol=1e-4)
