"""The same weights, ids and seed give the same bits for any thread count, chunking, cache and batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import zeropoint
from tests.support.tiny import TINY_FORMATS, Tiny, write_tiny_model
from zeropoint import Model, SamplingParams, _native
from zeropoint.engine.contract import Request

ISAS: list[str] = _native.machine()["isas"]
SAMPLED = SamplingParams.of(temperature=1.0, top_p=0.95, repetition_penalty=1.1, seed=7, max_tokens=24)
CHUNK_SIZES = [1, 2, 3, 31, 64, 129]

Logits = NDArray[np.float32]


@pytest.fixture(scope="module")
def quantized_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in the format of SmolLM2, with room for several pages of positions."""
    path = tmp_path_factory.mktemp("determinism") / "tiny.gguf"
    write_tiny_model(path, Tiny(format="Q4_1", n_ctx=1024))
    return path


def some_ids(n: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(3, 261, n).tolist()


def run(model: Model, prompts: Sequence[Sequence[int]]) -> list[tuple[list[int], list[float]]]:
    """Tokens and log-probabilities of sampled completions, generated in one batch."""
    engine = model.engine
    requests = [engine.submit(Request(p, SAMPLED, wants_logprobs=True)) for p in prompts]
    outputs: dict[int, tuple[list[int], list[float]]] = {request: ([], []) for request in requests}
    n_open = len(requests)
    while n_open:
        for event in engine.step():
            if event.token is not None and event.logprob is not None:
                outputs[event.request][0].append(event.token)
                outputs[event.request][1].append(event.logprob)
            n_open -= event.finish is not None
    return [outputs[request] for request in requests]


def in_chunks(model: Model, ids: list[int], sizes: Sequence[int]) -> Logits:
    """Logits of ids that are fed in chunks of these sizes, cyclically."""
    stepper = model.engine.stepper()
    parts, start = [], 0
    while start < len(ids):
        size = sizes[len(parts) % len(sizes)]
        parts.append(stepper.extend(ids[start : start + size]))
        start += size
    stepper.close()
    return np.concatenate(parts)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "mode",
    [{"exact": True}, {"cache_type": "int16"}, {"cache_type": "f16"}, {"cache_type": "int8"}],
    ids=("exact", "int16", "f16", "int8"),
)
@pytest.mark.parametrize("isa", ISAS)
def test_threads_chunks_cache_and_batch_change_nothing(
    isa: str, mode: dict[str, Any], quantized_path: Path
) -> None:
    ids, other = some_ids(300), some_ids(270, seed=1)
    logits: Logits | None = None
    answer: list[tuple[list[int], list[float]]] | None = None
    for threads in (1, 2, 3):
        with zeropoint.load(quantized_path, isa=isa, threads=threads, **mode) as model:
            all_at_once = model.logits(ids)
            logits = all_at_once if logits is None else logits
            assert all_at_once.tobytes() == logits.tobytes()
            for sizes in ([1], CHUNK_SIZES):
                assert in_chunks(model, ids, sizes).tobytes() == logits.tobytes()
            alone = run(model, [ids])
            answer = answer or alone
            assert alone == answer
            assert run(model, [ids]) == answer, "with its own prompt in the cache"
            assert run(model, [other, ids, ids[:100]])[1:2] == answer, "in a batch"


@pytest.mark.heavy
@pytest.mark.parametrize("name", TINY_FORMATS)
def test_every_instruction_set_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_model(path, Tiny(format=name, n_ctx=512, seed=3))
    ids = some_ids(200)
    for mode in ({"exact": True}, {"cache_type": "int16"}, {"cache_type": "f16"}, {"cache_type": "int8"}):
        results = set()
        for isa in ISAS:
            with zeropoint.load(path, isa=isa, threads=2, **mode) as model:
                tokens, logprobs = run(model, [ids])[0]
                results.add((model.logits(ids).tobytes(), tuple(tokens), tuple(logprobs)))
        assert len(results) == 1, f"{name}, {mode}: {len(results)} different results of {ISAS}"


@pytest.mark.parametrize("seed", range(4))
def test_a_busy_engine_gives_each_request_the_answer_it_gets_alone(seed: int, quantized_path: Path) -> None:
    rng = np.random.default_rng(seed)
    base = some_ids(400, seed)
    prompts = [
        [*base[: rng.integers(1, 400)], *some_ids(int(rng.integers(1, 40)), 50 + i)] for i in range(24)
    ]
    with zeropoint.load(quantized_path, threads=2) as quiet:
        alone = [run(quiet, [prompt])[0][0] for prompt in prompts]
    with zeropoint.load(quantized_path, threads=2) as model:
        engine, outputs, cancelled = model.engine, dict[int, list[int]](), set[int]()
        prompt_of: dict[int, int] = {}
        n_open, pending = 0, list(range(24))
        while n_open or pending:
            action = rng.integers(6)
            if action == 0 and pending:
                request = engine.submit(Request(prompts[pending[-1]], SAMPLED))
                prompt_of[request], outputs[request] = pending.pop(), []
                n_open += 1
            elif action == 1 and prompt_of and rng.integers(6) == 0:
                request = int(rng.choice(list(prompt_of)))
                engine.cancel(request)
            elif action == 2 and rng.integers(4) == 0:
                model.score(base[: rng.integers(1, 200)])
            for event in engine.step():
                if event.token is not None:
                    outputs[event.request].append(event.token)
                n_open -= event.finish is not None
                if event.finish == "cancelled":
                    cancelled.add(event.request)
    for request, prompt in prompt_of.items():
        if request in cancelled:
            assert outputs[request] == alone[prompt][: len(outputs[request])]
        else:
            assert outputs[request] == alone[prompt]
    assert len(prompt_of) == 24 > len(cancelled)


def test_more_requests_than_one_pass_can_process(quantized_path: Path) -> None:
    with zeropoint.load(quantized_path, context=64) as model:
        answers = run(model, [[5 + i % 7, 9] for i in range(300)])
        assert all(len(tokens) == SAMPLED.max_tokens for tokens, _ in answers)
        assert [answers[i][0] for i in range(7)] == [answers[7 + i][0] for i in range(7)]


def test_a_cached_prefix_changes_nothing(quantized_path: Path) -> None:
    first, more = some_ids(150), some_ids(60, seed=2)
    with zeropoint.load(quantized_path) as fresh, zeropoint.load(quantized_path) as warm:
        answer = run(warm, [first])[0]
        prompt = [*first, *answer[0], *more]
        stream = warm.generate(prompt, SAMPLED)
        text = stream.text()
        assert stream.usage.cached_tokens == 150 + 24 - 1
        assert text == fresh.generate(prompt, SAMPLED).text()
        # This prompt shares only part of the cached prefix.
        branch = [*first[:100], *more]
        assert run(warm, [branch]) == run(fresh, [branch])


@pytest.mark.parametrize("exact", [True, False])
def test_smollm2_is_deterministic(exact: bool, smollm2_path: Path) -> None:
    results = set()
    for isa, threads in [(isa, threads) for isa in ISAS if isa != "scalar" for threads in (1, 2, 3)]:
        with zeropoint.load(smollm2_path, exact=exact, isa=isa, threads=threads, context=256) as model:
            ids = model.tokenize("Once upon a time there was a robot who wanted to learn to paint.")
            logits = model.logits(ids)
            assert in_chunks(model, ids, [3, 1, 5]).tobytes() == logits.tobytes()
            tokens, logprobs = run(model, [ids, ids[:4]])[0]
            results.add((logits.tobytes(), tuple(tokens), tuple(logprobs)))
    assert len(results) == 1


@pytest.mark.parametrize("exact", [True, False])
def test_smollm2_on_the_scalar_kernels_is_bit_equal(exact: bool, smollm2_path: Path) -> None:
    logits = []
    for isa in (ISAS[0], "scalar"):
        with zeropoint.load(smollm2_path, exact=exact, isa=isa, context=64) as model:
            logits.append(model.logits(model.tokenize("The sky is")).tobytes())
    assert logits[0] == logits[1]
