"""Which models are loaded: on demand, within a memory limit, and not for longer than they are used."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from zeropoint.engine.session.model import Model
from zeropoint.errors import ZeropointError
from zeropoint.frozen import frozen
from zeropoint.server.engine_thread import AnyModel, EngineThread
from zeropoint.server.errors import ApiError
from zeropoint.server.prefix_store import PrefixStore

__all__ = ["ModelPool", "PoolLimits", "Served"]

_LOG = logging.getLogger("zeropoint.server")


@frozen
class PoolLimits:
    """max_running: answers computed at once; max_waiting: those that may wait.

    max_memory_bytes: of all loaded models, weights and caches; None for no limit. idle_seconds: after which a
    model is unloaded; None: never.
    """

    max_running: int = 64
    max_waiting: int = 256
    max_memory_bytes: int | None = None
    idle_seconds: float | None = None


@dataclass
class Served:
    """A model that clients may name. created: when the server started, as in Unix time."""

    name: str
    created: int
    thread: EngineThread | None = None
    last_used: float = 0.0
    n_users: int = 0
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def n_bytes(self) -> int:
        """Memory of weights and one context; 0 if it is not loaded."""
        if self.thread is None:
            return 0
        return self.thread.model.memory_bytes


class ModelPool:
    """The served models by name. The first is the default of requests without a model.

    prefixes: keeps what a model has cached until it is loaded again.
    """

    def __init__(
        self,
        names: list[str],
        load: Callable[[str], AnyModel],
        limits: PoolLimits,
        prefixes: PrefixStore | None = None,
    ) -> None:
        now = int(time.time())
        self.models: Mapping[str, Served] = {name: Served(name, now) for name in names}
        self.limits = limits
        self._load, self._prefixes = load, prefixes

    def preload(self) -> None:
        """Load the first model, before the server starts."""
        served = next(iter(self.models.values()))
        served.thread = self._start(served.name)
        served.last_used = time.monotonic()

    def _start(self, name: str) -> EngineThread:
        """Load a model, and what it had cached before."""
        thread = EngineThread(self._load(name), self.limits.max_running, self.limits.max_waiting)
        if self._prefixes is not None and isinstance(thread.model, Model):
            self._prefixes.load(thread.model, thread.recent)
        return thread

    def find(self, name: str | None) -> Served:
        """The model of that name. Raises ApiError 404."""
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            known = ", ".join(self.models)
            raise ApiError(
                404,
                f"the model `{name[:200]}` is not served here; this server has {known}",
                param="model",
                code="model_not_found",
            )
        return self.models[name]

    async def thread(self, served: Served) -> EngineThread:
        """The running engine of a model, which is loaded first if necessary. Raises ApiError."""
        async with served.loading:
            served.last_used = time.monotonic()
            if served.thread is None:
                served.thread = await run_in_threadpool(self._start, served.name)
                _LOG.info("loaded %s", served.name)
                await self._make_room(served)
        return served.thread

    async def unload_idle(self) -> None:
        """Unload models that no request has used for a while; call it now and then."""
        if self.limits.idle_seconds is None:
            return
        for served in self.models.values():
            is_idle = time.monotonic() - served.last_used > self.limits.idle_seconds
            if is_idle and not served.n_users:
                await self._unload(served)

    async def close(self) -> None:
        """Unload all models, and end their answers."""
        for served in self.models.values():
            await self._unload(served)

    async def _make_room(self, newest: Served) -> None:
        """Unload the models that were used longest ago until the rest fits, the newest excepted."""
        limit = self.limits.max_memory_bytes
        while limit is not None and sum(served.n_bytes for served in self.models.values()) > limit:
            idle = [s for s in self.models.values() if s.thread and not s.n_users and s is not newest]
            if not idle:
                return
            await self._unload(min(idle, key=lambda served: served.last_used))

    async def _unload(self, served: Served) -> None:
        thread, served.thread = served.thread, None
        if thread is None:
            return
        await run_in_threadpool(thread.close)
        if self._prefixes is not None and isinstance(thread.model, Model):
            await run_in_threadpool(self._prefixes.save, thread.model, thread.recent)
        try:
            await run_in_threadpool(thread.model.close)
        except ZeropointError as error:
            _LOG.warning("unloading %s failed: %s", served.name, error)
        _LOG.info("unloaded %s", served.name)
