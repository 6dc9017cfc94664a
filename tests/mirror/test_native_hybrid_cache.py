"""The native cache of models that mix full attention, sliding windows and recurrences.

A text gives the same bits however it was read: in chunks, after a rollback, in a batch, after preemption,
from a shared prefix or from disk. The planned memory is what the engine uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from tests.support.native_blueprint import native_engine_of, random_module
from tests.support.tiny_blueprints import TINY
from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import ChannelMix, Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.blueprint.parts.recurrence import GatedDeltaNet, Mamba2, Rwkv7, ShortConvolution
from zeropoint.engine.contract import Request
from zeropoint.engine.native import engine as native_engine
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.native.kv_cache import context_bytes
from zeropoint.engine.session.kv_snapshot import load_cache, save_cache
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput
from zeropoint.planning.plan import Plan, make_plan
from zeropoint.sampling.params import SamplingParams

N_CTX = 1400
FULL = Block(Attention(4, 2, 8, Rope(10000.0, 8)), Gated(48), RMSNorm(1e-6))
WINDOW = FULL.with_attention(window=150, n_kv_heads=1, position=Rope(100.0, 8))
NARROW = FULL.with_attention(window=20, d_head=16, position=Rope(100.0, 16))
STATE = replace(FULL, attention=None, recurrence=ShortConvolution(4))


def reading(source: int) -> Block:
    """A block that reads the keys and values of an earlier one."""
    return (WINDOW, FULL)[source].with_attention(source=source)


DELTA = replace(FULL, attention=None, recurrence=GatedDeltaNet(2, 4, 8, 8))
RWKV7 = Rwkv7(d_head=8, decay_rank=5, rate_rank=4, value_rank=0, gate_rank=6)
LAYERS = {
    "full and window": (WINDOW, FULL, NARROW, WINDOW),
    "full and state": (STATE, FULL, STATE),
    "window and state": (STATE, WINDOW, NARROW),
    "state": (STATE, STATE),
    "full and delta memory": (DELTA, FULL, DELTA),
    "shared": (WINDOW, FULL, reading(0), STATE, reading(1)),
    "mamba2": (replace(STATE, recurrence=Mamba2(4, 20, 6), ffn=None), WINDOW),
    "rwkv7": (
        replace(STATE, recurrence=RWKV7, ffn=ChannelMix(48)),
        replace(STATE, recurrence=replace(RWKV7, value_rank=4), ffn=ChannelMix(48)),
    ),
}
GREEDY = SamplingParams.of(temperature=0, max_tokens=12)


@pytest.fixture(params=LAYERS)
def blueprint(request: pytest.FixtureRequest) -> Blueprint:
    return replace(TINY["llama"], blocks=LAYERS[request.param], n_ctx=N_CTX)


@contextmanager
def opened(blueprint: Blueprint, folder: Path, **options: object) -> Iterator[NativeEngine]:
    chosen = EngineOptions(context=N_CTX, threads=2, **options)  # type: ignore[arg-type]
    engine = native_engine_of(random_module(blueprint), blueprint, folder / "m.gguf", chosen)
    yield engine
    engine.close()


def some_ids(n: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, 61, n).tolist()


def logits(engine: NativeEngine, ids: list[int]) -> np.ndarray:
    stepper = engine.stepper()
    rows = stepper.extend(ids)
    stepper.close()
    return rows


def answers(engine: NativeEngine, prompts: list[list[int]]) -> tuple[list[list[int]], list[int]]:
    """Greedy answers of requests that run together, and the prompt tokens that each took from the cache."""
    requests = [engine.submit(Request(prompt, GREEDY)) for prompt in prompts]
    tokens: dict[int, list[int]] = {request: [] for request in requests}
    n_cached = dict.fromkeys(requests, 0)
    n_left = len(requests)
    while n_left:
        for event in engine.step():
            if event.token is not None:
                tokens[event.request].append(event.token)
            n_cached[event.request] = event.n_cached
            n_left -= event.finish is not None
    return list(tokens.values()), list(n_cached.values())


def test_long_texts_equal_torchs(blueprint: Blueprint, tmp_path: Path) -> None:
    ids = some_ids(1100)
    with opened(blueprint, tmp_path, exact=True) as engine, torch.no_grad():
        expected = random_module(blueprint)(torch.tensor([ids]))[0].numpy()
        # torch, in float32, is itself up to 7e-4 from float64 in the state of 1,100 tokens.
        np.testing.assert_allclose(logits(engine, ids), expected, atol=1e-3, rtol=0)


def test_rollback_and_chunks_do_not_change_a_bit(blueprint: Blueprint, tmp_path: Path) -> None:
    ids = some_ids(1300)
    with opened(blueprint, tmp_path) as engine:
        expected = logits(engine, ids)
        stepper = engine.stepper()
        stepper.extend([*ids[:700], *some_ids(40, 1)])
        for n_back, n_more in ((40, 3), (2, 150), (90, 300), (500, 900), (1, 40)):
            stepper.rollback(n_back)
            first = stepper.n_tokens
            rows = stepper.extend(ids[first : first + n_more])
            np.testing.assert_array_equal(rows, expected[first : first + n_more])
        stepper.close()


def test_answers_do_not_depend_on_company_or_memory(blueprint: Blueprint, tmp_path: Path) -> None:
    beginnings = [some_ids(500, seed) for seed in range(3)]
    prompts = [[*beginnings[i % 3], *some_ids(100 + 70 * i, 10 + i)] for i in range(8)]
    with opened(blueprint, tmp_path) as engine:
        alone = [answers(engine, [prompt])[0][0] for prompt in prompts]
    with opened(blueprint, tmp_path) as engine:
        assert answers(engine, prompts)[0] == alone
    least = context_bytes(blueprint, EngineOptions(), N_CTX)
    with limited(2 * least), opened(blueprint, tmp_path) as engine:
        assert answers(engine, prompts)[0] == alone
        assert engine.used_cache_bytes <= 2 * least


def test_a_text_is_continued_from_memory_and_from_disk(blueprint: Blueprint, tmp_path: Path) -> None:
    ids, file = some_ids(900), tmp_path / "a.kv"
    with opened(blueprint, tmp_path) as engine:
        first, _ = answers(engine, [ids])
        more = [*ids, *first[0], 5, 6]
        assert save_cache(engine, more, file) == len(ids) + 11
        expected, n_cached = answers(engine, [more])
        assert n_cached == [len(ids) + 11]
        # Another answer to the same prompt: the tokens after the last page boundary are computed again.
        again, n_cached = answers(engine, [ids])
        assert again == first
        assert n_cached[0] >= 768
    with opened(blueprint, tmp_path) as engine:
        assert load_cache(engine, file) == more[: len(ids) + 11]
        again, n_cached = answers(engine, [more])
        assert (again, n_cached) == (expected, [len(ids) + 11])
    other = replace(blueprint, blocks=(*blueprint.blocks[:-1], FULL.with_attention(window=30)))
    with opened(other, tmp_path) as engine, pytest.raises(BadInput, match="another model"):
        load_cache(engine, file)


@contextmanager
def limited(max_bytes: int) -> Iterator[None]:
    """Engines that open within have exactly this much cache memory."""
    original = native_engine.native_cache

    def exact(*arguments: object) -> dict[str, object]:
        return {**original(*arguments), "max_bytes": max_bytes}  # type: ignore[arg-type]

    with patch.object(native_engine, "native_cache", exact):
        yield


@pytest.mark.parametrize("cache", [{}, {"exact": True}, {"cache_type": "int8"}], ids=str)
def test_a_full_context_uses_the_memory_that_was_planned(
    cache: dict[str, object], blueprint: Blueprint, tmp_path: Path
) -> None:
    plan = plan_of(blueprint, cache)
    with limited(plan.cache_bytes), opened(blueprint, tmp_path, **cache) as engine:
        assert engine.cache_bytes == plan.cache_bytes
        stepper = engine.stepper()
        stepper.extend(some_ids(N_CTX))
        assert engine.used_cache_bytes == plan.cache_bytes


def test_an_endless_window_is_planned_for(blueprint: Blueprint, tmp_path: Path) -> None:
    cache = {"window": 640}
    with opened(blueprint, tmp_path, **cache) as engine:
        assert engine.cache_bytes == plan_of(blueprint, cache).cache_bytes


def plan_of(blueprint: Blueprint, cache: dict[str, object]) -> Plan:
    options = EngineOptions(**cache)  # type: ignore[arg-type]
    return make_plan(blueprint, 1, N_CTX, bandwidth=1e9, available_bytes=None, options=options)
