"""Streams: pieces, finish reasons, several streams at once, and interruption."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import zeropoint
from tests.support.interrupt import restore_sigint
from tests.support.tiny import Tiny, write_tiny_model
from zeropoint import Model
from zeropoint.engine.session.stream import Stream, Usage
from zeropoint.errors import BadInput, MachineError
from zeropoint.sampling.repetition import repeated_tail

# With these parameters an answer of the tiny model ends only at max_tokens or a full context.
ENDLESS = {"temperature": 1.0, "seed": 5}


@pytest.fixture
def model(tiny_path: Path) -> Iterator[Model]:
    with zeropoint.load(tiny_path, threads=2) as model:
        yield model


@pytest.fixture
def long_path(tmp_path: Path) -> Path:
    path = tmp_path / "long.gguf"
    write_tiny_model(path, Tiny(n_ctx=8192))
    return path


def test_a_stream_reports_pieces_usage_timings_and_finish_reason(model: Model) -> None:
    stream = model.generate("abc def", max_tokens=4, **ENDLESS)
    assert stream.finish_reason is None
    assert stream.usage == Usage(5, 0, 0)
    pieces = list(stream)
    assert stream.finish_reason == "length"
    assert stream.usage == Usage(5, 4, 0)
    assert model.detokenize(stream.token_ids) == "".join(pieces)
    times = stream.timings
    assert (times.prompt_n, times.predicted_n, times.cache_n) == (5, 4, 0)
    assert times.prompt_ms > 0
    assert times.predicted_ms > 0
    assert list(stream) == []
    again = model.generate("abc def", max_tokens=4, **ENDLESS)
    assert again.text() == "".join(pieces)
    assert again.usage == Usage(5, 4, 4)
    assert again.timings.prompt_n == 1


def test_stop_strings_end_the_answer_and_are_not_part_of_it(model: Model) -> None:
    text = model.generate("abc", max_tokens=40, **ENDLESS).text()
    stop = next(
        text[i : i + 2] for i in range(5, len(text)) if text.isprintable() or text[i : i + 2].isascii()
    )
    stream = model.generate("abc", max_tokens=40, stop=[stop, "never"], **ENDLESS)
    assert stream.text() == text[: text.index(stop)]
    assert stream.finish_reason == "stop"
    assert stream.usage.completion_tokens < 40
    assert not model.engine._engine.has_work() or model.engine.step()[0].finish == "cancelled"


def test_stop_tokens_end_the_answer(model: Model) -> None:
    free = model.generate("abc", max_tokens=20, **ENDLESS)
    free.text()
    model.tokenizer.stop_ids = frozenset({free.token_ids[4]})
    stream = model.generate("abc", max_tokens=20, **ENDLESS)
    stream.text()
    assert stream.finish_reason == "stop"
    assert stream.token_ids == free.token_ids[: free.token_ids.index(free.token_ids[4])]


def test_prefill_reports_progress(long_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    ids = np.random.default_rng(0).integers(3, 261, 700).tolist()
    with zeropoint.load(long_path) as model:
        model.generate(ids, max_tokens=3, seed=1, on_progress=lambda *progress: calls.append(progress)).text()
    assert calls == [(256, 700), (512, 700), (700, 700)]


def test_closing_early_frees_the_request_at_once(model: Model) -> None:
    stream = model.generate("abc", **ENDLESS)
    next(stream)
    stream.close()
    stream.close()
    assert stream.finish_reason == "cancelled"
    assert list(stream) == []
    assert [event.finish for event in model.engine.step()] == ["cancelled"]
    assert not model.engine._engine.has_work()
    with model.generate("abc", **ENDLESS) as stream:
        next(stream)
    assert stream.finish_reason == "cancelled"
    # Its prompt is in the KV cache and is not read again.
    again = model.generate("abc d", max_tokens=1, **ENDLESS)
    again.text()
    assert again.usage.cached_tokens == 1


@pytest.mark.parametrize("n_pieces", [0, 2])
def test_deleting_a_stream_cancels_its_request(model: Model, n_pieces: int) -> None:
    stream = model.generate("abc", **ENDLESS)
    for _ in range(n_pieces):
        next(stream)
    gc.disable()  # reference counting alone must free it
    try:
        del stream
        assert [event.finish for event in model.engine.step()] == ["cancelled"]
    finally:
        gc.enable()


@pytest.mark.heavy
def test_a_stream_may_outlive_its_model(tiny_path: Path) -> None:
    with zeropoint.load(tiny_path) as model:
        stream = model.generate("abc", **ENDLESS)
        next(stream)
    del stream, model
    gc.collect()  # an error here would be unraisable, which fails the test


def test_concurrent_streams_give_the_text_of_single_ones(model: Model) -> None:
    prompts = ["abc def", "zz", "abc dxx"]
    alone = [model.generate(p, max_tokens=20, **ENDLESS).text() for p in prompts]
    streams = [model.generate(p, max_tokens=20, **ENDLESS) for p in prompts]
    texts = ["", "", ""]
    order = np.random.default_rng(3)
    while any(stream.finish_reason is None for stream in streams):
        i = int(order.integers(3))
        texts[i] += next(streams[i], "")
    for i, stream in enumerate(streams):
        texts[i] += "".join(stream)
    assert texts == alone == [stream.text() for stream in streams]
    # Closing one does not disturb the others.
    first, second = (model.generate(p, max_tokens=20, **ENDLESS) for p in prompts[:2])
    next(first)
    second.close()
    first.text()
    assert first.finish_reason == "length"


@pytest.mark.parametrize("tensor", ["output_norm.weight", "blk.1.ffn_norm.weight"])
def test_when_one_request_fails_the_others_end_too(tensor: str, tmp_path: Path) -> None:
    path = tmp_path / "nan.gguf"
    write_tiny_model(path, weights={tensor: np.full(64, np.nan, np.float32)})
    with zeropoint.load(path) as model:
        first, second = (model.generate("abc", seed=1) for _ in range(2))
        with pytest.raises(MachineError, match=r"NaN|layer 1 of the model"):
            next(first)
        with pytest.raises(MachineError, match=r"NaN|a concurrent request failed"):
            next(second)
        assert not model.engine._engine.has_work()


def test_text_returns_the_complete_answer(model: Model) -> None:
    complete = model.generate("abc", max_tokens=9, **ENDLESS).text()
    stream = model.generate("abc", max_tokens=9, **ENDLESS)
    assert isinstance(stream, Stream)
    assert complete.startswith(next(stream))
    assert stream.text() == complete


def test_logprobs_belong_to_the_generated_tokens(model: Model) -> None:
    stream = model.generate("abc", max_tokens=6, top_logprobs=2, temperature=0.5, seed=5)
    stream.text()
    assert [entry.id for entry in stream.logprobs] == stream.token_ids
    assert b"".join(entry.bytes for entry in stream.logprobs).decode("utf-8", "replace") == stream.text()
    scores = model.score([*model.tokenize("abc"), *stream.token_ids]).logprobs[-len(stream.token_ids) :]
    assert [entry.logprob for entry in stream.logprobs] == pytest.approx(scores, abs=1e-5)
    assert all(len(entry.top) == 2 and entry.top[0].logprob >= entry.logprob for entry in stream.logprobs)
    first = stream.logprobs[0]
    assert first.as_json()["top_logprobs"][0].keys() == {"id", "token", "bytes", "logprob"}
    assert (first.as_json()["token"], first.as_json()["bytes"]) == (first.token, list(first.bytes))


def test_logprobs_need_a_request(model: Model) -> None:
    stream = model.chat("hello", max_tokens=3, **ENDLESS)
    assert (stream.text() != "", stream.logprobs) == (True, [])
    with pytest.raises(BadInput, match="top_logprobs must be a whole number from 0 to 261; got -1"):
        model.chat("hello", top_logprobs=-1)


def test_an_endless_repetition_ends_the_answer_on_request(long_path: Path) -> None:
    looping = {"temperature": 0.0, "max_tokens": 1500}
    with zeropoint.load(long_path) as model:
        model.tokenizer.stop_ids = frozenset()
        free = model.generate("abc", **looping)
        free.text()
        assert free.finish_reason == "length"
        stream = model.generate("abc", stop_repetition=True, **looping)
        assert free.text().startswith(stream.text())
        assert stream.finish_reason == "repetition"
        assert repeated_tail(stream.token_ids) is not None
        assert len(stream.token_ids) < 1000


def test_an_answer_that_fills_the_context_says_so(model: Model, tiny_path: Path) -> None:
    model.tokenizer.stop_ids = frozenset()
    stream = model.generate("abc", **ENDLESS)
    stream.text()
    assert stream.finish_reason == "length"
    full = f"the answer was cut off: the context of {model.engine.n_ctx} tokens is full"
    assert stream.notices == [full]
    with zeropoint.load(tiny_path, context=20) as short:
        short.tokenizer.stop_ids = frozenset()
        stream = short.generate("abc", **ENDLESS)
        stream.text()
    larger = f"choose a larger context, up to {model.engine.n_ctx} tokens"
    assert stream.notices == [f"the answer was cut off: the context of 20 tokens is full; {larger}"]


# A background job of a shell inherits an ignored SIGINT; the child restores the default.
INTERRUPTED = """
import signal, sys
import zeropoint
signal.signal(signal.SIGINT, signal.default_int_handler)
model = zeropoint.load(sys.argv[1], isa="scalar", context=8192)
stream = model.generate([5, 6, 7] * 2700, max_tokens=5, seed=1)
print("ready", flush=True)
try:
    stream.text()
    print("finished")
except KeyboardInterrupt:
    print("interrupted", stream.finish_reason, flush=True)
print(len(model.generate("abc", max_tokens=3, seed=1).token_ids) == 0, model.score("abc d").perplexity > 0)
"""


@pytest.mark.process
def test_ctrl_c_stops_a_long_prompt_and_leaves_the_model_usable(tmp_path: Path) -> None:
    path = tmp_path / "wide.gguf"
    write_tiny_model(path, Tiny(n_layers=12, n_heads=8, n_kv_heads=8, n_ctx=8192))
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore_sigint,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert err == ""
    assert out == "interrupted cancelled\nTrue True\n"
    assert child.returncode == 0


ENDED_BY_CTRL_C = """
import signal, sys
import zeropoint
signal.signal(signal.SIGINT, signal.default_int_handler)
model = zeropoint.load(sys.argv[1], isa="scalar", context=8192)
print("ready", flush=True)
model.score([5, 6, 7] * 2700)
"""


@pytest.mark.process
def test_ctrl_c_ends_a_program_that_scores(tmp_path: Path) -> None:
    path = tmp_path / "wide.gguf"
    write_tiny_model(path, Tiny(n_layers=12, n_heads=8, n_kv_heads=8, n_ctx=8192))
    child = subprocess.Popen(
        [sys.executable, "-c", ENDED_BY_CTRL_C, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore_sigint,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert child.returncode in (130, -signal.SIGINT)
