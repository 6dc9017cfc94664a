"""A server with a tiny model, on a free port of this computer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import uvicorn

import zeropoint
from tests.support.tiny import Tiny, write_tiny_model
from zeropoint.server.app import make_app
from zeropoint.server.guard import GuardOptions
from zeropoint.server.models import ModelPool, PoolLimits
from zeropoint.server.run import listen


class Running:
    """A server in a thread of this process. url: without a path."""

    def __init__(self, pool: ModelPool, options: GuardOptions) -> None:
        self.pool = pool
        self._clients: list[openai.OpenAI] = []
        self._listener = listen("127.0.0.1", 0)
        self.address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        config = uvicorn.Config(make_app(pool, options), http="h11", log_level="error", lifespan="on")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._server.should_exit = True
        self._thread.join(30)
        self._listener.close()

    def client(self, key: str = "none") -> openai.OpenAI:
        """OpenAI's own client, which repeats nothing."""
        client = openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=30)
        self._clients.append(client)
        return client


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "tiny.gguf"
    write_tiny_model(path, Tiny(n_ctx=512))
    return path


def make_pool(path: Path, limits: PoolLimits | None = None, names: tuple[str, ...] = ("tiny",)) -> ModelPool:
    """A pool whose models all are the tiny one."""
    return ModelPool(list(names), lambda name: zeropoint.load(path, threads=1), limits or PoolLimits())


@pytest.fixture(scope="session")
def server(model_path: Path) -> Iterator[Running]:
    with Running(make_pool(model_path), GuardOptions()) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Running) -> openai.OpenAI:
    return server.client()
