"""Many clients at once that ask, stream, leave and send nonsense: nothing leaks, and every answer is right.

A short run is part of every test run; ZEROPOINT_SOAK_SECONDS makes it longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import httpx2 as httpx
import pytest

import zeropoint
from tests.unit.server.conftest import Running, make_pool
from zeropoint.server.guard import GuardOptions

pytestmark = pytest.mark.model
SECONDS = float(os.environ.get("ZEROPOINT_SOAK_SECONDS", "2"))
N_CLIENTS = 64
CHAT = "/v1/chat/completions"


def body(seed: int, **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": f"question {seed}" * (1 + seed % 5)}]
    return {"messages": messages, "seed": seed, "temperature": 1.0, "max_tokens": 4 + seed % 20, **more}


async def client_of(number: int, url: str, until: float, wrong: list[str], expected: dict[int, str]) -> int:
    """One client's life: returns how many answers it got to the end."""
    dice, n_complete = random.Random(number), 0
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        while time.monotonic() < until:
            seed, what = dice.randrange(40), dice.random()
            if what < 0.5:
                reply = await http.post(CHAT, json=body(seed))
                text = reply.json()["choices"][0]["message"]["content"]
                n_complete += 1
                if text != expected[seed]:
                    wrong.append(f"seed {seed}: {text!r}, not {expected[seed]!r}")
            elif what < 0.8:  # a stream that it leaves in the middle
                async with http.stream("POST", CHAT, json=body(seed, stream=True, max_tokens=300)) as reply:
                    async for _ in reply.aiter_lines():
                        if dice.random() < 0.3:
                            break
            elif what < 0.9:
                reply = await http.post(CHAT, content=dice.randbytes(dice.randrange(100)))
                if reply.status_code != 400:
                    wrong.append(f"nonsense got status {reply.status_code}")
            else:
                task = asyncio.create_task(http.post(CHAT, json=body(seed, max_tokens=300)))
                await asyncio.sleep(dice.random() / 50)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    return n_complete


def test_nothing_leaks_and_every_answer_is_right(model_path: Path) -> None:
    with zeropoint.load(model_path, threads=1) as model:
        expected = {}
        for seed in range(40):
            question = str(body(seed)["messages"][0]["content"])  # type: ignore[index]
            options = {"seed": seed, "temperature": 1.0, "max_tokens": 4 + seed % 20}
            expected[seed] = model.chat(question, **options).text()
    pool = make_pool(model_path)
    pool.preload()
    thread = pool.models["tiny"].thread
    assert thread is not None
    wrong: list[str] = []

    async def live(url: str) -> int:
        until = time.monotonic() + SECONDS
        clients = (client_of(number, url, until, wrong, expected) for number in range(N_CLIENTS))
        return sum(await asyncio.gather(*clients))

    with Running(pool, GuardOptions()) as server:
        n_complete = asyncio.run(live(server.url))
        deadline = time.monotonic() + 30
        while thread.model.engine.n_requests and time.monotonic() < deadline:
            time.sleep(0.01)
        assert thread.model.engine.n_requests == 0
        assert (thread.n_running, thread.n_waiting) == (0, 0)
    assert not wrong
    assert n_complete > 0
