"""`zeropoint.load` and `Model`: answers, refusals, threads, forks and closing."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFValueType

import zeropoint
from tests.support.tiny import Tiny, write_tiny_model
from zeropoint import Model, _native
from zeropoint.errors import BadInput, ContextFull, MachineError

QUESTION = [{"role": "user", "content": "hello"}]


@pytest.fixture
def model(tiny_path: Path) -> Iterator[Model]:
    with zeropoint.load(tiny_path, threads=2) as model:
        yield model


def test_generate_continues_a_text(model: Model) -> None:
    pieces = list(model.generate("abc d", max_tokens=12, seed=1))
    again = model.generate("abc d", max_tokens=12, seed=1)
    assert "".join(pieces) == again.text()
    assert again.finish_reason in ("stop", "length")
    assert len(again.token_ids) <= 12
    assert model.generate("abc d", max_tokens=12, seed=2).text() != "".join(pieces)


def test_generate_accepts_token_ids(model: Model) -> None:
    ids = model.tokenize("abc d")
    text = model.generate("abc d", max_tokens=8, temperature=0).text()
    assert model.generate(ids, max_tokens=8, temperature=0).text() == text
    assert model.generate(np.array(ids), max_tokens=8, temperature=0).text() == text


def test_a_question_is_a_conversation_of_one_message(model: Model) -> None:
    answers = [model.chat(q, max_tokens=6, seed=3).text() for q in ("hello", QUESTION)]
    assert answers[0] == answers[1]
    rendered = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert model.encode_chat(QUESTION) == model.tokenizer.encode(rendered, parse_special=True)


def test_sampling_precedence_is_call_then_params_then_model(model: Model) -> None:
    model.defaults = {"max_tokens": 3, "temperature": 0.0}
    assert len(model.generate("a").token_ids) == 0
    stream = model.generate("a")
    stream.text()
    assert len(stream.token_ids) <= 3
    params = zeropoint.SamplingParams.of(max_tokens=5, seed=1)
    stream = model.generate("a", params, max_tokens=4)
    stream.text()
    assert len(stream.token_ids) <= 4
    with pytest.raises(BadInput, match=r"unknown sampling parameter `temprature`.*closest: temperature"):
        model.generate("a", temprature=1)


def test_tokenize_and_detokenize_round_trip(model: Model) -> None:
    ids = model.tokenize("abc <|im_start|> \u00e4\n")
    assert model.detokenize(ids) == "abc <|im_start|> \u00e4\n"
    assert 1 not in ids, "a control token spelled in a text stays text"


def test_logits_equal_those_of_a_stepper(model: Model) -> None:
    ids = model.tokenize("abc def ghi")
    logits = model.logits("abc def ghi")
    assert logits.shape == (len(ids), model.blueprint.n_vocab)
    assert logits.dtype == np.float32
    stepper = model.stepper()
    assert stepper.extend(ids[:2]).tobytes() == logits[:2].tobytes()
    stepper.extend(model.tokenize("zz"))
    assert stepper.n_tokens == 4
    stepper.rollback(2)
    assert stepper.extend(ids[2:]).tobytes() == logits[2:].tobytes()
    assert model.logits([]).shape == (0, model.blueprint.n_vocab)


def test_score_is_the_log_probability_of_each_token(model: Model) -> None:
    ids = model.tokenize("abc def ghi")
    score = model.score("abc def ghi")
    assert score.token_ids == ids
    assert score.logprobs[0] is None
    logits = model.logits(ids).astype(np.float64)
    for position, token in enumerate(ids[1:]):
        expected = logits[position, token] - np.log(np.exp(logits[position]).sum())
        assert score.logprobs[position + 1] == pytest.approx(expected, abs=1e-4)
    logprobs = [p for p in score.logprobs if p is not None]
    assert score.perplexity == pytest.approx(math.exp(-sum(logprobs) / len(logprobs)))
    assert model.score(ids) == score


def test_a_bos_token_gives_the_first_token_a_probability(tmp_path: Path) -> None:
    path = tmp_path / "bos.gguf"
    write_tiny_model(path, extra={"tokenizer.ggml.add_bos_token": (True, GGUFValueType.BOOL)})
    with zeropoint.load(path) as model:
        assert all(p is not None for p in model.score("def").logprobs)
        assert len(model.score("def").logprobs) == len(model.tokenize("def"))
        assert len(model.logits("def")) == len(model.tokenize("def")) + 1
        assert model.score(model.tokenize("def")).logprobs[0] is None


def test_a_text_too_short_to_score_is_refused(model: Model) -> None:
    with pytest.raises(BadInput, match="no text to score"):
        model.score("")
    assert model.score("d").logprobs == [None]
    with pytest.raises(BadInput, match="at least two tokens"):
        _ = model.score("d").perplexity


@pytest.mark.parametrize(
    "ids", [["a"], [1.5], [2**70], [None], [[1], [2, 3]], [-1], [True], [[1, 2]], [2**31]]
)
def test_invalid_token_ids_are_refused(model: Model, ids: Any) -> None:
    for call in (model.generate, model.logits, model.score):
        with pytest.raises(BadInput, match="whole numbers"):
            call(ids)


def test_ids_outside_the_vocabulary_are_refused(model: Model) -> None:
    n_vocab = model.blueprint.n_vocab
    for call in (model.generate, model.logits, model.score):
        with pytest.raises(BadInput, match=f"token id {n_vocab} is outside the vocabulary of {n_vocab}"):
            call([3, n_vocab])
    with pytest.raises(BadInput, match="prompt is empty"):
        model.generate([])


def test_a_full_context_is_refused_with_both_numbers(tiny_path: Path) -> None:
    with zeropoint.load(tiny_path, context=32) as model:
        for call in (model.generate, model.logits, model.score):
            with pytest.raises(ContextFull, match="40 tokens and the context holds 32"):
                call([5] * 40)
        with pytest.raises(ContextFull, match="32 tokens and the context holds 32"):
            model.generate([5] * 32)
        with pytest.raises(ContextFull, match="holds 32"):
            model.chat("hello " * 20)
        stepper = model.stepper()
        stepper.extend([5] * 30)
        with pytest.raises(ContextFull, match="33 tokens and the context holds 32"):
            stepper.extend([5] * 3)
        assert stepper.n_tokens == 30
        assert len(model.logits([5] * 32)) == 32
        assert len(model.score([5] * 33).logprobs) == 33
        stream = model.generate([5] * 30, temperature=0)
        stream.text()
        assert stream.finish_reason in ("length", "stop")
        assert len(stream.token_ids) <= 2


def test_a_stepper_cannot_roll_back_past_its_start(model: Model) -> None:
    stepper = model.stepper()
    stepper.extend([5, 6])
    for n in (3, -1):
        with pytest.raises(BadInput, match=f"cannot roll back {n} tokens; the sequence has 2"):
            stepper.rollback(n)
    stepper.close()
    stepper.close()
    with pytest.raises(BadInput, match="sequence is closed"):
        stepper.extend([5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"isa": "sse9"},
            "unknown isa `sse9`; expected one of auto, avx2, avx512, neon, neon_dotprod, scalar",
        ),
        ({"threads": 0}, "threads must be a whole number between 1 and 1024; got 0"),
        ({"threads": -2}, "threads must be a whole number between 1 and 1024; got -2"),
        (
            {"threads": 10**12},
            "threads must be a whole number between 1 and 1024; got 1000000000000",
        ),
        ({"context": 0}, "context must be a whole number at least 1; got 0"),
        ({"context": 257}, "context is 257; this model takes 1 to 256"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(tiny_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        zeropoint.load(tiny_path, **options)


def test_an_unsupported_instruction_set_is_refused(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = _native.machine() | {"isas": ["scalar"], "processors": 1}
    monkeypatch.setattr(_native, "machine", lambda: here)
    with pytest.raises(MachineError, match="cannot run avx512; it runs scalar"):
        zeropoint.load(tiny_path, isa="avx512")


@pytest.mark.parametrize("isa", ["auto", *_native.machine()["isas"]])
def test_an_instruction_set_can_be_forced(tiny_path: Path, isa: str) -> None:
    with zeropoint.load(tiny_path, isa=isa, threads=1) as model:
        assert model.engine.isa == (_native.machine()["isas"][0] if isa == "auto" else isa)
        assert model.engine.n_threads == 1
        assert len(model.generate("a", max_tokens=2, seed=1).text()) > 0


def test_use_after_close_raises(tiny_path: Path) -> None:
    model = zeropoint.load(tiny_path)
    stepper, stream = model.stepper(), model.generate("abc", seed=1)
    next(stream)
    model.close()
    model.close()
    for call in (
        lambda: model.generate("a"),
        lambda: model.logits("a"),
        lambda: model.score("ab d"),
        lambda: model.stepper(),
        lambda: stepper.extend([5]),
        lambda: next(stream),
    ):
        with pytest.raises(BadInput, match="closed"):
            call()
    stepper.close()
    stream.close()
    assert model.tokenize("abc") == [260], "the tokenizer needs no engine"


def test_paths_may_contain_any_characters(tiny_path: Path, tmp_path: Path) -> None:
    for name in ("with space.gguf", "\u6a21\u578b \U0001f389.gguf", "n" * 250 + ".gguf", "\udcff\udc80.gguf"):
        path = tmp_path / name
        path.write_bytes(tiny_path.read_bytes())
        with zeropoint.load(path) as model:
            assert model.generate("a", max_tokens=1, seed=1).text() is not None


def test_will_chat_prepares_the_template_during_loading(tiny_path: Path) -> None:
    with zeropoint.load(tiny_path) as model:
        assert "template" not in vars(model)
        expected = model.chat("hi", max_tokens=3, temperature=0).text()
    with zeropoint.load(tiny_path, will_chat=True) as model:
        assert "template" in vars(model)
        assert model.chat("hi", max_tokens=3, temperature=0).text() == expected


def test_a_broken_template_is_reported_at_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.gguf"
    monkeypatch.setattr("tests.support.tiny.TEMPLATE", "{% if %}")
    write_tiny_model(path)
    with zeropoint.load(path, will_chat=True) as model:
        assert model.generate("abc", max_tokens=1, temperature=0).text() is not None
        with pytest.raises(BadInput, match="the chat template failed in line 1"):
            model.chat("hi")


def test_an_interrupt_while_building_the_tokenizer_is_raised(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zeropoint.engine.session.load.load_tokenizer", interrupted)
    n_threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        zeropoint.load(tiny_path)
    assert threading.active_count() == n_threads


def test_a_model_loads_without_a_spare_thread(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with zeropoint.load(tiny_path, will_chat=True) as model:
        assert model.generate("abc", max_tokens=2, temperature=0).text() is not None


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_must_load_again(model: Model) -> None:
    model.generate("abc", max_tokens=2, seed=1).text()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        message = "nothing"
        try:
            model.generate("abc", max_tokens=2, seed=1)
        except BadInput as error:
            message = str(error)
        os.write(writer, message.encode())
        model.engine.close()  # whose threads do not exist here
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert "load it again in the child" in pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert model.generate("abc", max_tokens=2, seed=1).text() is not None


def long_text(n: int) -> list[int]:
    return np.random.default_rng(0).integers(3, 261, n).tolist()


@pytest.fixture
def slow_model(tmp_path: Path) -> Iterator[Model]:
    """A tiny model that takes a noticeable time: scalar kernels and a long context."""
    path = tmp_path / "long.gguf"
    write_tiny_model(path, Tiny(n_ctx=8192))
    with zeropoint.load(path, isa="scalar", threads=2) as model:
        yield model


def test_a_second_thread_waits_for_its_turn(slow_model: Model) -> None:
    expected = slow_model.score(long_text(400)).logprobs
    scores: list[Any] = []
    worker = threading.Thread(target=lambda: scores.append(slow_model.score(long_text(400))))
    worker.start()
    assert slow_model.logits([5]).shape[0] == 1
    worker.join()
    assert scores[0].logprobs == expected


def test_the_gil_is_released_while_the_engine_computes(slow_model: Model) -> None:
    done, counted = threading.Event(), 0

    def score() -> None:
        slow_model.score(long_text(800))
        done.set()

    worker = threading.Thread(target=score)
    worker.start()
    while not done.is_set():
        counted += 1
        time.sleep(0.001)
    worker.join()
    assert counted > 20


def test_close_waits_for_a_running_call(slow_model: Model) -> None:
    results: list[Any] = []

    def score() -> None:
        try:
            results.append(slow_model.score(long_text(800)))
        except BadInput as error:
            results.append(error)

    worker = threading.Thread(target=score)
    worker.start()
    time.sleep(0.05)
    slow_model.engine.close()
    worker.join()
    assert len(results) == 1
    with pytest.raises(BadInput, match="closed"):
        slow_model.logits([5])


def test_dropped_steppers_free_their_caches(model: Model) -> None:
    def mapped_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")

    for _ in range(8):
        model.stepper().extend([5, 6])
    before = mapped_bytes()
    for _ in range(100):
        model.stepper().extend([5, 6])
    assert mapped_bytes() - before < 10 * model.engine.cache_bytes
