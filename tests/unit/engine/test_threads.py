"""Threads: a shared stream, closing from another thread, and daemon threads at the end of the program."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import zeropoint
from tests.support.tiny import Tiny, write_tiny_model
from zeropoint import Model
from zeropoint.engine.fair_lock import FairLock
from zeropoint.engine.session.chat import Conversation
from zeropoint.errors import BadInput

# With these parameters an answer of the tiny model ends only at max_tokens or a full context.
ENDLESS = {"temperature": 1.0, "seed": 5}
SLOW_PROMPT = [5, 6, 7] * 2700  # with `slow_model`, far more work than a test waits for


@pytest.fixture
def model(tiny_path: Path) -> Iterator[Model]:
    with zeropoint.load(tiny_path, threads=2) as model:
        yield model


@pytest.fixture
def slow_model(tmp_path: Path) -> Iterator[Model]:
    path = tmp_path / "slow.gguf"
    write_tiny_model(path, Tiny(n_layers=12, n_heads=8, n_kv_heads=8, n_ctx=8192))
    with zeropoint.load(path, isa="scalar", context=8192) as model:
        yield model


class Worker(threading.Thread):
    """Runs a function and keeps what it returned or raised."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work, self.result = work, None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:
            self.result = error

    def finish(self) -> object:
        self.join(60)
        assert not self.is_alive()
        return self.result


def test_threads_that_share_a_stream_get_each_piece_once(model: Model) -> None:
    expected = list(model.generate("abc", max_tokens=30, **ENDLESS))
    stream = model.generate("abc", max_tokens=30, **ENDLESS)
    workers = [Worker(lambda: list(stream)) for _ in range(4)]
    shares = [worker.finish() for worker in workers]
    pieces = [piece for share in shares for piece in share]  # type: ignore[attr-defined]
    assert Counter(pieces) == Counter(expected)
    assert stream.text() == "".join(expected)
    assert stream.finish_reason == "length"


def test_threads_that_share_an_answer_add_one_turn(tiny_path: Path) -> None:
    with zeropoint.load(tiny_path) as model:
        conversation = Conversation(model)
        answer = conversation.ask("abc", zeropoint.SamplingParams.of(max_tokens=40, **ENDLESS))
        shares = [worker.finish() for worker in [Worker(lambda: list(answer)) for _ in range(3)]]
        assert len(conversation.turns) == 2
        assert conversation.turns[1]["content"] == answer.text()
        assert sorted("".join(map("".join, shares))) == sorted(answer.text())  # type: ignore[arg-type]


@pytest.mark.heavy
def test_another_thread_can_close_a_stream_that_reads_its_prompt(slow_model: Model) -> None:
    has_begun = threading.Event()
    stream = slow_model.generate(
        SLOW_PROMPT, max_tokens=5, on_progress=lambda read, total: has_begun.set(), **ENDLESS
    )
    worker = Worker(lambda: list(stream))
    assert has_begun.wait(60)
    stream.close()
    assert worker.finish() == []
    assert stream.finish_reason == "cancelled"
    assert not slow_model.engine._engine.has_work() or slow_model.engine.step()  # its cancellation, at most
    assert slow_model.generate("abc", max_tokens=3, **ENDLESS).text()  # the model is still usable


@pytest.mark.heavy
def test_closing_one_stream_from_another_thread_leaves_the_others(slow_model: Model) -> None:
    expected = slow_model.generate("abc", max_tokens=3, **ENDLESS).text()
    has_begun = threading.Event()
    long = slow_model.generate(SLOW_PROMPT, max_tokens=5, **ENDLESS)
    short = slow_model.generate(
        "abc", max_tokens=3, on_progress=lambda read, total: has_begun.set(), **ENDLESS
    )
    worker = Worker(short.text)
    assert has_begun.wait(60)
    long.close()
    assert worker.finish() == expected
    assert (long.finish_reason, short.finish_reason) == ("cancelled", "length")


@pytest.mark.heavy
@pytest.mark.parametrize("activity", ["generate", "score", "extend"])
def test_another_thread_can_close_a_model_that_computes(slow_model: Model, activity: str) -> None:
    has_begun = threading.Event()
    stepper = slow_model.stepper()

    def work() -> object:
        has_begun.set()
        if activity == "score":
            return slow_model.score(SLOW_PROMPT)
        if activity == "extend":
            return stepper.extend(SLOW_PROMPT[:1000])
        return list(slow_model.generate(SLOW_PROMPT, max_tokens=5, **ENDLESS))

    worker = Worker(work)
    assert has_begun.wait(60)
    slow_model.close()
    result = worker.finish()
    assert isinstance(result, BadInput)
    assert str(result) == "this model is closed; load it again"


def test_threads_that_ask_for_answers_get_those_they_would_get_alone(model: Model) -> None:
    prompts = ["abc" + "d" * i for i in range(12)]
    expected = [model.generate(p, max_tokens=24, **ENDLESS).text() for p in prompts]
    logits = model.logits("abc")
    workers = [Worker(lambda p=p: model.generate(p, max_tokens=24, **ENDLESS).text()) for p in prompts]  # type: ignore[misc]
    readers = [Worker(lambda: model.logits("abc")) for _ in range(4)]
    assert [worker.finish() for worker in workers] == expected
    assert all((reader.finish() == logits).all() for reader in readers)  # type: ignore[union-attr]


def test_answers_to_many_prompts_are_those_to_each(model: Model) -> None:
    prompts = ["abc", "xyz", [5, 6, 7]]
    expected = [model.generate(p, max_tokens=12, **ENDLESS).text() for p in prompts]
    streams = model.generate_all(prompts, max_tokens=12, **ENDLESS)
    assert [stream.text() for stream in streams] == expected
    assert all(stream.finish_reason == "length" for stream in streams)
    chats = model.chat_all(["hello", [{"role": "user", "content": "you"}]], max_tokens=5, **ENDLESS)
    assert chats[0].text() == model.chat("hello", max_tokens=5, **ENDLESS).text()
    with pytest.raises(BadInput):
        model.generate_all(["abc", [10**6]], max_tokens=5)
    assert model.engine.n_requests == 0 or model.engine.step()


def test_tasks_of_an_event_loop_get_their_answers(model: Model) -> None:
    expected = [model.generate(p, max_tokens=12, **ENDLESS).text() for p in ("abc", "xyz")]

    async def answer(prompt: str) -> str:
        return "".join([piece async for piece in model.generate(prompt, max_tokens=12, **ENDLESS)])

    async def both() -> list[str]:
        return list(await asyncio.gather(answer("abc"), answer("xyz")))

    assert asyncio.run(both()) == expected


def test_a_lock_admits_threads_in_order() -> None:
    lock, order = FairLock(), list[int]()

    def work(number: int) -> None:
        with lock, lock:
            order.append(number)

    with lock:
        workers = []
        for number in range(5):
            workers.append(Worker(lambda number=number: work(number)))  # type: ignore[misc]
            while len(lock._waiting) <= number:
                time.sleep(0.001)
        assert not order
    for worker in workers:
        worker.finish()
    assert order == [0, 1, 2, 3, 4]


ENDING = """
import sys, threading
import zeropoint
path, work = sys.argv[1:]
started = threading.Event()
model = None if work == "load" else zeropoint.load(path, threads=2)

def run():
    for seed in range(10**9):
        if work == "load":
            started.set()
            zeropoint.load(path).close()
        elif work == "generate":
            for _ in model.generate("abc", max_tokens=30, seed=seed):
                started.set()
        elif work == "chat":
            for _ in model.chat("abc", max_tokens=30, seed=seed):
                started.set()
        elif work == "score":
            started.set()
            model.score([5, 6, 7] * 20)
        elif work == "trace":
            started.set()
            model.trace([5, 6, 7] * 20, ["blocks.*.attention.weights"])
        elif work == "extend":
            started.set()
            model.stepper().extend([5, 6, 7] * 20)

threads = [threading.Thread(target=run, daemon=True) for _ in range(2 if work == "load" else 1)]
for thread in threads:
    thread.start()
started.wait()
print("ending", flush=True)
"""


@pytest.mark.process
@pytest.mark.parametrize("work", ["generate", "chat", "score", "trace", "extend", "load"])
def test_a_program_ends_while_a_daemon_thread_computes(work: str, tiny_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", ENDING, str(tiny_path), work], capture_output=True, text=True, timeout=60
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "ending\n", "")


USED_AT_EXIT = """
import atexit, sys
@atexit.register
def first_registered():
    print(model.generate("abc", max_tokens=3, seed=1).text() != "")
import zeropoint
model = zeropoint.load(sys.argv[1])
"""


@pytest.mark.process
def test_the_main_thread_can_use_a_model_while_the_program_ends(tiny_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", USED_AT_EXIT, str(tiny_path)], capture_output=True, text=True, timeout=60
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "True\n", "")
