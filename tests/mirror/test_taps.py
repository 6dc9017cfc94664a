"""Taps and interventions of the native engine against torch, for every family, from the same GGUF file.

Weights are random. Exact mode agrees up to float32 rounding; fast mode as closely as int8 activations and an
fp16 KV cache allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.mirror.family_cases import CASES
from tests.mirror.test_native_families import WIDE, blueprint_of_config, write_model
from zeropoint import AddVector, SamplingParams, Scale
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.interventions import Intervention
from zeropoint.engine.contract import Engine, Event, LogitLens, Request, Tap
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.tap_requests import native_taps, residual_tap
from zeropoint.engine.torch.engine import TorchEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.models.build import build, load
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import open_model

T, N_CTX = 40, 64  # T exceeds one chunk of logits rows
EXACT = 3e-4  # absolute tolerance for values up to about 5
FAMILIES = {
    "llama": ("llama", "grouped"),
    "gpt2": ("gpt2", "plain"),
    "phi2": ("phi", "half rotated"),
    "gemma2": ("gemma2", "low caps"),
    "gemma2, window": ("gemma2", "window"),
    "mistral": ("mistral", "window"),
    "qwen3": ("qwen3", "grouped, tied"),
    "mixtral": ("mixtral", "grouped"),
    "phi4": ("phi3", "phi4, beyond"),
    "granite": ("granite", "untied, biased"),
    "olmo3": ("olmo3", "yarn in full blocks"),
    "qwen3_moe": ("qwen3_moe", "grouped"),
    "gpt_oss": ("gpt_oss", "yarn"),
    "gemma3": ("gemma3_text", "other pattern, scaled"),
    "smollm3": ("smollm3", "every fourth"),
    "ministral3": ("ministral3", "beyond"),
    "gemma4": ("gemma4_text", "shared, double"),
}


@dataclass
class Pair:
    """One GGUF file in both modes of the native engine and in torch."""

    file: GgufModel
    blueprint: Blueprint
    native: NativeEngine
    fast: NativeEngine
    torch: TorchEngine
    ids: list[int]


def open_pair(path: Path) -> Pair:
    model, file = open_model(path), open_gguf(path)
    module = build(model.blueprint, seed=None)
    load(module, model.weights)
    native, fast = (
        NativeEngine(file, model.blueprint, EngineOptions(context=N_CTX, threads=2, exact=is_exact))
        for is_exact in (True, False)
    )
    ids = np.random.default_rng(3).integers(0, model.blueprint.n_vocab, T).tolist()
    return Pair(file, model.blueprint, native, fast, TorchEngine(module, n_ctx=N_CTX), ids)


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    family, config = FAMILIES[request.param]
    path = tmp_path_factory.mktemp("taps") / "m.gguf"
    write_model(path, blueprint_of_config(family, CASES[family][config]))
    pair = open_pair(path)
    yield pair
    pair.native.close()
    pair.fast.close()


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A Llama in Q8_0, for which fast mode differs from exact mode."""
    path = tmp_path_factory.mktemp("taps") / "m.gguf"
    write_model(path, blueprint_of_config("llama", {**CASES["llama"]["grouped"], **WIDE}), "Q8_0")
    pair = open_pair(path)
    yield pair
    pair.native.close()
    pair.fast.close()


def is_close(actual: np.ndarray, expected: np.ndarray, tolerance: float = 0.03) -> bool:
    """For fast mode: the RMS of the difference is below tolerance times the standard deviation."""
    rms = np.sqrt(np.mean((actual - expected) ** 2))
    return bool(rms < tolerance * max(float(expected.std()), 1e-3))


def interventions_of(pair: Pair) -> list[Intervention]:
    """One intervention of every kind that the model supports, some at only part of the positions."""
    b = pair.blueprint
    rng = np.random.default_rng(5)
    interventions: list[Intervention] = [
        AddVector("embedding.output", rng.normal(size=b.d_model), scale=0.5, start=3, stop=9),
        Scale("blocks.0.attention.context", head=1),
        AddVector(residual_tap(b, 0), rng.normal(size=b.d_model), scale=2.0, start=5),
        Scale(residual_tap(b, 1), feature=7, factor=-1.5),
    ]
    if "blocks.1.ffn.hidden" in native_taps(b):
        interventions.append(Scale("blocks.1.ffn.hidden", feature=11))
        interventions.append(Scale("blocks.0.ffn.hidden", feature=2, factor=30.0, start=T // 2))
    if "blocks.1.after_attention" in native_taps(b):
        interventions.append(Scale("blocks.1.after_attention", feature=3))
    return interventions


@pytest.mark.parametrize("is_modified", [False, True], ids=["plain", "modified"])
def test_both_engines_record_the_same_tensors(pair: Pair, is_modified: bool) -> None:
    points = native_taps(pair.blueprint)
    assert "blocks.1.attention.weights" in points
    interventions = interventions_of(pair) if is_modified else []
    expected = pair.torch.trace(pair.ids, points, interventions=interventions)
    for name, array in pair.native.trace(pair.ids, points, interventions=interventions).points.items():
        largest = max(1.0, float(np.abs(expected[name]).max()))
        np.testing.assert_allclose(array, expected[name], atol=EXACT * largest, rtol=0, err_msg=name)
    fast = pair.fast.trace(pair.ids, points, interventions=interventions)
    assert [name for name in points if not is_close(fast[name], expected[name])] == []


def test_both_engines_report_the_same_logprobs(pair: Pair) -> None:
    """The chosen token's and those of the most probable tokens, whatever the sampling steps are."""
    params = SamplingParams.of(temperature=0.7, repetition_penalty=1.3, seed=4, max_tokens=6)
    request = Request(pair.ids, params, wants_logprobs=True, n_top_logprobs=5)
    events: list[list[Event]] = []
    for engine in (pair.native, pair.torch):
        number = engine.submit(request)
        events.append([])
        while not events[-1] or events[-1][-1].finish is None:
            events[-1] += [
                event for event in engine.step() if event.request == number and event.token is not None
            ]
    native, reference = events
    assert [event.token for event in native] == [event.token for event in reference]
    for ours, theirs in zip(native, reference, strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=EXACT)
        assert [token for token, _ in ours.top_logprobs] == [token for token, _ in theirs.top_logprobs]
        values = [[logprob for _, logprob in event.top_logprobs] for event in (ours, theirs)]
        np.testing.assert_allclose(*values, atol=EXACT)


def test_every_intervention_changes_the_logits(pair: Pair) -> None:
    """By far more than the tolerance, and only from its first position on."""
    plain = pair.native.trace(pair.ids, ["logits"])["logits"]
    for intervention in interventions_of(pair):
        changed = pair.native.trace(pair.ids, ["logits"], interventions=[intervention])["logits"]
        assert np.abs(changed - plain).max() > 20 * EXACT, intervention
        start = intervention.start
        assert np.array_equal(changed[:start], plain[:start]), intervention


def test_attention_weights_of_chosen_heads(pair: Pair) -> None:
    read = Tap("blocks.1.attention.weights", [3, 0])
    [weights] = pair.native.trace(pair.ids, [read]).points.values()
    assert weights.shape == (2, T, T)
    if pair.blueprint.attention.has_sink:  # which has the rest
        assert (weights.sum(-1) < 1).all()
    else:
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert (np.triu(weights, 1) == 0).all()
    np.testing.assert_allclose(weights, pair.torch.trace(pair.ids, [read])[read.point], atol=EXACT)


def test_logit_lens_agrees(pair: Pair) -> None:
    last = pair.blueprint.n_layers - 1
    lens = LogitLens([0, last], top=3, tokens=[9, 4], has_logits=True)
    native = pair.native.trace(pair.ids, lens=lens).lens
    reference = pair.torch.trace(pair.ids, lens=lens).lens
    for rows, expected in zip(native, reference, strict=True):
        assert rows.logits is not None
        assert expected.logits is not None
        assert np.abs(rows.logits - expected.logits).max() < EXACT
        np.testing.assert_allclose(rows.top_logprobs, expected.top_logprobs, atol=EXACT)
        np.testing.assert_allclose(rows.named_logprobs, expected.named_logprobs, atol=EXACT)
        np.testing.assert_allclose(rows.next_logprobs, expected.next_logprobs, atol=EXACT)
        chosen = np.take_along_axis(rows.logits, rows.top_ids, -1)
        np.testing.assert_array_equal(chosen, -np.sort(-rows.logits, -1)[:, :3])
    assert np.array_equal(native[-1].logits, pair.native.trace(pair.ids, ["logits"])["logits"])
    np.testing.assert_array_equal(native[-1].next_logprobs, pair.native.score(pair.ids))


def test_quantized_models_agree(quantized: Pair) -> None:
    points = native_taps(quantized.blueprint)
    interventions = interventions_of(quantized)
    expected = quantized.torch.trace(
        quantized.ids, points, interventions=interventions, lens=LogitLens([0, 1], 1, has_logits=True)
    )
    exact = quantized.native.trace(quantized.ids, points, interventions=interventions)
    fast = quantized.fast.trace(
        quantized.ids, points, interventions=interventions, lens=LogitLens([0, 1], 1, has_logits=True)
    )
    for name in points:
        largest = max(1.0, float(np.abs(expected[name]).max()))
        np.testing.assert_allclose(exact[name], expected[name], atol=EXACT * largest, rtol=0, err_msg=name)
    assert [name for name in points if not is_close(fast[name], expected[name], 0.05)] == []
    for rows, reference in zip(fast.lens, expected.lens, strict=True):
        assert is_close(rows.logits, reference.logits, 0.05)  # type: ignore[arg-type]


def test_taps_reflect_an_int8_kv_cache(quantized: Pair) -> None:
    """Tensors computed from rounded keys and values are close to the reference, but differ."""
    engine = NativeEngine(
        quantized.file,
        quantized.blueprint,
        EngineOptions(context=N_CTX, threads=2, cache_type="int8"),
    )
    points = native_taps(quantized.blueprint)
    traced, expected = engine.trace(quantized.ids, points), quantized.torch.trace(quantized.ids, points)
    engine.close()
    assert [name for name in points if not is_close(traced[name], expected[name], 0.05)] == []
    last = "blocks.1.attention.weights"
    assert not np.array_equal(traced[last], quantized.fast.trace(quantized.ids, [last])[last])
    np.testing.assert_allclose(traced[last].sum(-1), 1, atol=1e-5)


def answer(engine: Engine, prompt: list[int], interventions: list[Intervention]) -> tuple[list[int], int]:
    """Greedy tokens of one request, and how many prompt tokens came from the prefix cache."""
    params = SamplingParams.of(temperature=0, max_tokens=12)
    number = engine.submit(Request(prompt, params, interventions=interventions))
    tokens, n_cached, is_done = [], 0, False
    while not is_done:
        for event in engine.step():
            assert event.request == number
            n_cached, is_done = event.n_cached, event.finish is not None
            tokens += [event.token] if event.token is not None else []
    return tokens, n_cached


def test_generation_is_modified_and_shares_no_cache(quantized: Pair) -> None:
    prompt, interventions = quantized.ids[:20], interventions_of(quantized)
    expected = answer(quantized.torch, prompt, interventions)[0]
    plain = answer(quantized.native, prompt, [])[0]
    changed, n_cached = answer(quantized.native, prompt, interventions)
    assert changed == expected
    assert changed != plain
    assert n_cached == 0  # does not reuse the cache of the plain answer
    # A plain request afterwards reuses the plain cache, not that of the modified answer.
    assert answer(quantized.native, prompt, []) == (plain, len(prompt) - 1)
    # Modified and plain requests in one batch do not affect each other.
    engine, params = quantized.native, SamplingParams.of(temperature=0, max_tokens=12)
    numbers = [
        engine.submit(Request(prompt, params, interventions=t)) for t in (interventions, [], interventions)
    ]
    together: dict[int, list[int]] = {number: [] for number in numbers}
    n_open = len(numbers)
    while n_open:
        for event in engine.step():
            n_open -= event.finish is not None
            together[event.request] += [event.token] if event.token is not None else []
    assert list(together.values()) == [changed, plain, changed]


def test_a_stepper_is_modified(pair: Pair) -> None:
    interventions = interventions_of(pair)
    steppers = [engine.stepper(interventions) for engine in (pair.native, pair.torch)]
    parts = [
        np.concatenate([s.extend(pair.ids[:7]), s.extend(pair.ids[7:8]), s.extend(pair.ids[8:])])
        for s in steppers
    ]
    np.testing.assert_allclose(parts[0], parts[1], atol=EXACT)
    at_once = pair.native.trace(pair.ids, ["logits"], interventions=interventions)["logits"]
    assert np.array_equal(parts[0], at_once)
    steppers[0].close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_number_of_threads_does_not_change_taps(quantized: Pair, n_threads: int) -> None:
    other = NativeEngine(quantized.file, quantized.blueprint, EngineOptions(context=N_CTX, threads=n_threads))
    points, interventions = native_taps(quantized.blueprint), interventions_of(quantized)
    two_threads, other_trace = (
        engine.trace(quantized.ids, points, interventions=interventions) for engine in (quantized.fast, other)
    )
    other.close()
    assert [name for name in points if not np.array_equal(two_threads[name], other_trace[name])] == []
