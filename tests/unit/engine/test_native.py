"""The native engine behind the `Engine` contract: requests, events, scores and threads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import Tiny, write_tiny_model
from zeropoint import SamplingParams
from zeropoint.blueprint import Blueprint
from zeropoint.engine.contract import Engine, Event, Request, Stepper
from zeropoint.engine.machine import default_threads
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.native.kv_cache import context_bytes
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import gguf_blueprint

GREEDY = SamplingParams.of(temperature=0, max_tokens=4)


@pytest.fixture
def file(tiny_path: Path) -> GgufModel:
    return open_gguf(tiny_path)


@pytest.fixture
def engine(file: GgufModel) -> Iterator[NativeEngine]:
    engine = NativeEngine(file, gguf_blueprint(file), EngineOptions(context=128, threads=2))
    yield engine
    engine.close()


def events_of(engine: NativeEngine, request_id: int) -> list[Event]:
    """Step until a request ends and return all its events."""
    events: list[Event] = []
    while not events or events[-1].finish is None:
        events += [event for event in engine.step() if event.request == request_id]
    return events


def test_native_engine_implements_the_contract(engine: NativeEngine) -> None:
    as_engine: Engine = engine
    as_stepper: Stepper = engine.stepper()
    assert (as_engine.n_ctx, as_engine.n_vocab) == (128, 261)
    assert as_stepper.n_tokens == 0


def test_properties_match_the_options(file: GgufModel, engine: NativeEngine) -> None:
    assert engine.n_threads == 2
    assert not engine.is_exact
    assert engine.cache_bytes == context_bytes(gguf_blueprint(file), EngineOptions(), 128)
    packed = sum(tensor.n_bytes for tensor in file.tensors.values())
    assert packed <= engine.weight_bytes + 4096
    exact = NativeEngine(file, gguf_blueprint(file), EngineOptions(context=128, exact=True))
    assert exact.is_exact
    assert exact.cache_bytes == context_bytes(gguf_blueprint(file), EngineOptions(exact=True), 128)
    assert exact.n_threads == default_threads()


def test_a_request_yields_one_event_per_token(engine: NativeEngine) -> None:
    request_id = engine.submit(Request([5, 6, 7], GREEDY, wants_logprobs=True))
    events = events_of(engine, request_id)
    assert [event.finish for event in events] == [None, None, None, "length"]
    assert all(event.token is not None and 0 <= event.token < 261 for event in events)
    assert all(event.logprob is not None and event.logprob < 0 for event in events)
    assert {(e.n_prompt, e.n_cached, e.n_read) for e in events} == {(3, 0, 3)}
    assert engine.step() == []


def test_logprobs_are_those_of_the_model_before_sampling_steps(engine: NativeEngine) -> None:
    params = SamplingParams.of(temperature=0.3, top_k=5, repetition_penalty=1.5, seed=3, max_tokens=6)
    events = events_of(engine, engine.submit(Request([5, 6, 7], params, wants_logprobs=True)))
    tokens = [event.token for event in events if event.token is not None]
    scores = engine.score([5, 6, 7, *tokens])[2:]
    np.testing.assert_allclose([event.logprob for event in events], scores, atol=1e-5)
    without_logprobs = events_of(engine, engine.submit(Request([5, 6, 7], params)))
    assert [event.token for event in without_logprobs] == tokens
    assert {event.logprob for event in without_logprobs} == {None}


def test_top_logprobs_are_the_most_probable_tokens(engine: NativeEngine) -> None:
    params = SamplingParams.of(temperature=0.7, repetition_penalty=1.5, seed=3, max_tokens=4)
    request = Request([5, 6, 7], params, wants_logprobs=True, n_top_logprobs=261)
    events = events_of(engine, engine.submit(request))
    for event in events:
        logprobs = [logprob for _, logprob in event.top_logprobs]
        assert logprobs == sorted(logprobs, reverse=True)
        assert dict(event.top_logprobs)[event.token or 0] == event.logprob
        assert sum(map(math.exp, logprobs)) == pytest.approx(1, abs=1e-5)
    with pytest.raises(BadInput, match="top_logprobs must be 0 to 261; got 262"):
        engine.submit(Request([5, 6, 7], params, wants_logprobs=True, n_top_logprobs=262))


def test_sampling_steps_reach_the_engine(engine: NativeEngine) -> None:
    def tokens(**flat: float) -> list[int | None]:
        params = SamplingParams.of(**{"max_tokens": 12, "seed": 9, **flat})
        return [event.token for event in events_of(engine, engine.submit(Request([5, 6], params)))]

    assert tokens(temperature=0) == tokens(temperature=0, seed=10)
    assert tokens(top_k=1) == tokens(temperature=0)
    assert tokens(temperature=2.0) == tokens(temperature=2.0)
    assert tokens(temperature=2.0) != tokens(temperature=2.0, seed=10)
    assert len(set(tokens(temperature=0, presence_penalty=2.0, frequency_penalty=2.0))) > 1


def test_answers_differ_without_a_seed(engine: NativeEngine) -> None:
    params = SamplingParams.of(temperature=2.0, max_tokens=20)
    answers = {
        tuple(event.token for event in events_of(engine, engine.submit(Request([5], params))))
        for _ in range(3)
    }
    assert len(answers) == 3


def test_cancel_ends_a_request_and_ignores_unknown_ids(engine: NativeEngine) -> None:
    request_id = engine.submit(Request([5, 6], SamplingParams.of(seed=1)))
    engine.step()
    for other in (request_id, request_id, 99, -1):
        engine.cancel(other)
    events = engine.step()
    assert [(event.request, event.token, event.finish) for event in events] == [
        (request_id, None, "cancelled")
    ]


def test_score_of_one_token_is_empty(engine: NativeEngine) -> None:
    assert engine.score([5]).shape == (0,)
    with pytest.raises(BadInput, match="0 tokens"):
        engine.score([])
    with pytest.raises(BadInput, match="outside the vocabulary"):
        engine.score([261])


@pytest.mark.heavy
def test_answers_do_not_depend_on_the_thread_count(file: GgufModel) -> None:
    answers = []
    for n_threads in (1, 7, 1024):
        engine = NativeEngine(file, gguf_blueprint(file), EngineOptions(context=64, threads=n_threads))
        assert engine.n_threads == n_threads
        answers.append([event.token for event in events_of(engine, engine.submit(Request([5, 6], GREEDY)))])
        engine.close()
    assert answers[0] == answers[1] == answers[2]


def test_a_size_that_the_file_does_not_have_is_rejected(file: GgufModel) -> None:
    blueprint = gguf_blueprint(file)
    wider = dataclasses.replace(
        blueprint.blocks[1], ffn=dataclasses.replace(blueprint.blocks[1].ffn, d_ff=128)
    )
    mixed: Blueprint = dataclasses.replace(blueprint, blocks=(blueprint.blocks[0], wider))
    with pytest.raises(
        BadModelFile, match=r"ffn_gate.weight has shape \[96, 64\]; the metadata says \[128, 64\]"
    ):
        NativeEngine(file, mixed, EngineOptions(context=64))


def test_a_sharded_model_equals_the_single_file(tmp_path: Path) -> None:
    """Loading the shards of a model gives the same logits as loading the complete file."""
    single, tiny = tmp_path / "single.gguf", Tiny(seed=4)
    write_tiny_model(single, tiny)
    paths = split(single, tmp_path)
    file, shards = open_gguf(single), open_gguf(paths[0])
    assert len(shards.paths) == 2
    logits = []
    for model in (file, shards):
        engine = NativeEngine(model, gguf_blueprint(model), EngineOptions(context=64))
        logits.append(engine.stepper().extend([5, 6, 7]).tobytes())
    assert logits[0] == logits[1]


def split(path: Path, folder: Path) -> list[Path]:
    """Split a model into two shards in the format of llama.cpp's gguf-split."""
    import gguf

    reader = gguf.GGUFReader(path)
    half = len(reader.tensors) // 2
    paths = []
    for i, tensors in enumerate((reader.tensors[:half], reader.tensors[half:])):
        paths.append(folder / f"part-{i + 1:05d}-of-00002.gguf")
        writer = gguf.GGUFWriter(paths[-1], "llama")
        if i == 0:
            for field in reader.fields.values():
                if field.name.startswith(("llama.", "tokenizer.")):
                    kind, *inner = field.types
                    writer.add_key_value(field.name, field.contents(), kind, inner[0] if inner else None)
        writer.add_uint16("split.no", i)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for tensor in tensors:
            writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return paths
