"""Looking inside and changing what is there: native engine against torch, family by family, from one file.

Random weights, whole numbers of tokens on both sides of a window; exact mode agrees to rounding, fast mode as
nearly as int8 activations and an fp16 cache allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.mirror.test_native_families import WIDE, blueprint_of_config, write_model
from tests.mirror.test_torch_families import CASES
from zeropoint import AddVector, SamplingParams, Scale
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.interventions import Intervention
from zeropoint.engine.contract import Engine, LogitLens, Request, Tap
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.tap_requests import native_points, stream_after
from zeropoint.engine.torch.engine import TorchEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.models.build import build, load
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import open_model

T, N_CTX = 40, 64  # more tokens than one chunk of logits rows has
EXACT = 3e-4  # of numbers up to about 5
FAMILIES = {
    "llama": ("llama", "grouped"),
    "gpt2": ("gpt2", "plain"),
    "phi2": ("phi", "half rotated"),
    "gemma2": ("gemma2", "low caps"),
    "gemma2, window": ("gemma2", "window"),
    "mistral": ("mistral", "window"),
    "qwen3": ("qwen3", "grouped, tied"),
    "mixtral": ("mixtral", "grouped"),
}


@dataclass
class Pair:
    """One file in both modes of the native engine and in torch."""

    file: GgufModel
    blueprint: Blueprint
    native: NativeEngine
    fast: NativeEngine
    torch: TorchEngine
    ids: list[int]


def opened(path: Path) -> Pair:
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
    path = tmp_path_factory.mktemp("inside") / "m.gguf"
    write_model(path, blueprint_of_config(family, CASES[family][config]))
    pair = opened(path)
    yield pair
    pair.native.close()
    pair.fast.close()


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A Llama in Q8_0, where fast mode is not exact mode."""
    path = tmp_path_factory.mktemp("inside") / "m.gguf"
    write_model(path, blueprint_of_config("llama", {**CASES["llama"]["grouped"], **WIDE}), "Q8_0")
    pair = opened(path)
    yield pair
    pair.native.close()
    pair.fast.close()


def near(got: np.ndarray, want: np.ndarray, part: float = 0.03) -> bool:
    """Fast mode: the root of the mean square of the difference, as a part of the spread."""
    return bool(np.sqrt(np.mean((got - want) ** 2)) < part * max(float(want.std()), 1e-3))


def writes_of(pair: Pair) -> list[Intervention]:
    """One of every kind that the model has, some for a part of the positions."""
    b = pair.blueprint
    rng = np.random.default_rng(5)
    writes: list[Intervention] = [
        AddVector("embedding.output", rng.normal(size=b.d_model), scale=0.5, start=3, stop=9),
        Scale("blocks.0.attention.mix", head=1),
        AddVector(stream_after(b, 0), rng.normal(size=b.d_model), scale=2.0, start=5),
        Scale(stream_after(b, 1), feature=7, factor=-1.5),
    ]
    if "blocks.1.ffn.hidden" in native_points(b):
        writes.append(Scale("blocks.1.ffn.hidden", feature=11))
        writes.append(Scale("blocks.0.ffn.hidden", feature=2, factor=30.0, start=T // 2))
    if "blocks.1.after_attention" in native_points(b):
        writes.append(Scale("blocks.1.after_attention", feature=3))
    return writes


@pytest.mark.parametrize("is_changed", [False, True], ids=["as it is", "changed"])
def test_both_engines_show_the_same(pair: Pair, is_changed: bool) -> None:
    points = native_points(pair.blueprint)
    assert "blocks.1.attention.weights" in points
    interventions = writes_of(pair) if is_changed else []
    want = pair.torch.trace(pair.ids, points, interventions=interventions)
    for name, array in pair.native.trace(pair.ids, points, interventions=interventions).points.items():
        largest = max(1.0, float(np.abs(want[name]).max()))
        np.testing.assert_allclose(array, want[name], atol=EXACT * largest, rtol=0, err_msg=name)
    fast = pair.fast.trace(pair.ids, points, interventions=interventions)
    assert [name for name in points if not near(fast[name], want[name])] == []


def test_a_change_is_one(pair: Pair) -> None:
    """Each write moves the logits by far more than the tolerance above."""
    plain = pair.native.trace(pair.ids, ["logits"])["logits"]
    for write in writes_of(pair):
        changed = pair.native.trace(pair.ids, ["logits"], interventions=[write])["logits"]
        assert np.abs(changed - plain).max() > 20 * EXACT, write
        before = write.start
        assert np.array_equal(changed[:before], plain[:before]), write


def test_attention_weights_of_chosen_heads(pair: Pair) -> None:
    read = Tap("blocks.1.attention.weights", [3, 0])
    [weights] = pair.native.trace(pair.ids, [read]).points.values()
    assert weights.shape == (2, T, T)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert (np.triu(weights, 1) == 0).all()
    np.testing.assert_allclose(weights, pair.torch.trace(pair.ids, [read])[read.point], atol=EXACT)


def test_the_lens(pair: Pair) -> None:
    last = pair.blueprint.n_layers - 1
    lens = LogitLens([0, last], top=3, tokens=[9, 4], has_logits=True)
    got, want = pair.native.trace(pair.ids, lens=lens).lens, pair.torch.trace(pair.ids, lens=lens).lens
    for mine, theirs in zip(got, want, strict=True):
        assert mine.logits is not None
        assert theirs.logits is not None
        assert np.abs(mine.logits - theirs.logits).max() < EXACT
        np.testing.assert_allclose(mine.top_logprobs, theirs.top_logprobs, atol=EXACT)
        np.testing.assert_allclose(mine.named_logprobs, theirs.named_logprobs, atol=EXACT)
        np.testing.assert_allclose(mine.next_logprobs, theirs.next_logprobs, atol=EXACT)
        chosen = np.take_along_axis(mine.logits, mine.top_ids, -1)
        np.testing.assert_array_equal(chosen, -np.sort(-mine.logits, -1)[:, :3])
    assert np.array_equal(got[-1].logits, pair.native.trace(pair.ids, ["logits"])["logits"])
    np.testing.assert_array_equal(got[-1].next_logprobs, pair.native.score(pair.ids))


def test_quantised_models_too(quantised: Pair) -> None:
    points = native_points(quantised.blueprint)
    interventions = writes_of(quantised)
    want = quantised.torch.trace(
        quantised.ids, points, interventions=interventions, lens=LogitLens([0, 1], 1, has_logits=True)
    )
    exact = quantised.native.trace(quantised.ids, points, interventions=interventions)
    fast = quantised.fast.trace(
        quantised.ids, points, interventions=interventions, lens=LogitLens([0, 1], 1, has_logits=True)
    )
    for name in points:
        largest = max(1.0, float(np.abs(want[name]).max()))
        np.testing.assert_allclose(exact[name], want[name], atol=EXACT * largest, rtol=0, err_msg=name)
    assert [name for name in points if not near(fast[name], want[name], 0.05)] == []
    for mine, theirs in zip(fast.lens, want.lens, strict=True):
        assert near(mine.logits, theirs.logits, 0.05)  # type: ignore[arg-type]


def test_a_cache_of_int8_is_seen_as_well(quantised: Pair) -> None:
    """What is seen is what the pass computed from rounded keys and values: near, and not the same."""
    engine = NativeEngine(
        quantised.file,
        quantised.blueprint,
        EngineOptions(context=N_CTX, threads=2, cache_type="int8"),
    )
    points = native_points(quantised.blueprint)
    got, want = engine.trace(quantised.ids, points), quantised.torch.trace(quantised.ids, points)
    engine.close()
    assert [name for name in points if not near(got[name], want[name], 0.05)] == []
    last = "blocks.1.attention.weights"
    assert not np.array_equal(got[last], quantised.fast.trace(quantised.ids, [last])[last])
    np.testing.assert_allclose(got[last].sum(-1), 1, atol=1e-5)


def answer(engine: Engine, prompt: list[int], interventions: list[Intervention]) -> tuple[list[int], int]:
    """Greedy tokens of one request, and the prompt tokens that came from a cache."""
    params = SamplingParams.of(temperature=0, max_tokens=12)
    number = engine.submit(Request(prompt, params, interventions=interventions))
    tokens, n_cached, is_done = [], 0, False
    while not is_done:
        for event in engine.step():
            assert event.request == number
            n_cached, is_done = event.n_cached, event.finish is not None
            tokens += [event.token] if event.token is not None else []
    return tokens, n_cached


def test_generation_is_changed_and_shares_no_cache(quantised: Pair) -> None:
    prompt, interventions = quantised.ids[:20], writes_of(quantised)
    want = answer(quantised.torch, prompt, interventions)[0]
    plain = answer(quantised.native, prompt, [])[0]
    changed, n_cached = answer(quantised.native, prompt, interventions)
    assert changed == want
    assert changed != plain
    assert n_cached == 0  # not the cache of the plain answer
    assert answer(quantised.native, prompt, []) == (
        plain,
        len(prompt) - 1,
    )  # nor this one that of the changed
    # Steered and plain requests in one batch do not touch each other.
    engine, params = quantised.native, SamplingParams.of(temperature=0, max_tokens=12)
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


def test_a_stepper_is_changed(pair: Pair) -> None:
    interventions = writes_of(pair)
    steppers = [engine.stepper(interventions) for engine in (pair.native, pair.torch)]
    parts = [
        np.concatenate([s.extend(pair.ids[:7]), s.extend(pair.ids[7:8]), s.extend(pair.ids[8:])])
        for s in steppers
    ]
    np.testing.assert_allclose(parts[0], parts[1], atol=EXACT)
    whole = pair.native.trace(pair.ids, ["logits"], interventions=interventions)["logits"]
    assert np.array_equal(parts[0], whole)
    steppers[0].close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_threads_change_nothing(quantised: Pair, n_threads: int) -> None:
    other = NativeEngine(quantised.file, quantised.blueprint, EngineOptions(context=N_CTX, threads=n_threads))
    points, interventions = native_points(quantised.blueprint), writes_of(quantised)
    mine, theirs = (
        engine.trace(quantised.ids, points, interventions=interventions) for engine in (quantised.fast, other)
    )
    other.close()
    assert [name for name in points if not np.array_equal(mine[name], theirs[name])] == []
