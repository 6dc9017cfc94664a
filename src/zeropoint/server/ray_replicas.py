"""Replicas of the server on a Ray cluster, behind the router.

Each replica is an actor that runs the whole server on its node, on a free port, and answers requests with a
key that the router alone knows. Ray restarts an actor that dies. Ray Serve would do the same with more
processes between a request and its model: its proxies pass on each part of a stream three times.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from zeropoint.errors import MachineError
from zeropoint.server.guard import Guard, GuardOptions
from zeropoint.server.router import Replica, Router

if TYPE_CHECKING:
    from zeropoint.server.models import ModelPool

__all__ = ["RayReplicas", "ReplicaRange", "routed_app"]

_LOG = logging.getLogger("zeropoint.server")
_LOOK_SECONDS = 2.0
_BUSY, _IDLE = 8.0, 1.0  # requests per replica above which one is added, and below which one is removed
_GROW_AFTER, _SHRINK_AFTER = 3, 30  # looks in a row


@dataclass(frozen=True)
class ReplicaRange:
    """How many replicas there are: at least and at most."""

    least: int
    most: int


class ReplicaServer:
    """The actor. make_pool: the models to serve, built on the actor's node."""

    def __init__(self, make_pool: Callable[[], ModelPool], key: str) -> None:
        import ray
        import uvicorn

        from zeropoint.server.app import make_app
        from zeropoint.server.run import listen

        host = str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
        self._listener = listen(host, 0)
        pool = make_pool()
        pool.preload()
        options = GuardOptions(api_keys=(key,), hosts=("*",))
        config = uvicorn.Config(make_app(pool, options), http="h11", ws="none", log_level="critical")
        server = uvicorn.Server(config)
        self._url = f"http://{host}:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._thread.start()

    def url(self) -> str:
        """Where the server listens."""
        return self._url


def routed_app(
    make_pool: Callable[[], ModelPool], size: ReplicaRange, n_cpus: int, options: GuardOptions
) -> ASGIApp:
    """The router as an application, which starts and ends its replicas. Use it within a Ray cluster."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        replicas = RayReplicas(router, make_pool, size, n_cpus)
        watcher: asyncio.Task[None] | None = None
        try:
            await replicas.start()
            watcher = asyncio.create_task(replicas.look_forever())
            yield
        finally:
            if watcher is not None:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
            replicas.stop()
            await router.close()

    router = Router([])
    return Guard(Starlette(routes=[Mount("/", router)], lifespan=lifespan), options)


class RayReplicas:
    """Keeps a router's replicas: starts and stops actors, and finds those that Ray has restarted."""

    def __init__(
        self, router: Router, make_pool: Callable[[], ModelPool], size: ReplicaRange, n_cpus: int
    ) -> None:
        import ray

        self._router, self._make_pool, self._size = router, make_pool, size
        self._key = secrets.token_urlsafe(32)
        self._actor = ray.remote(num_cpus=n_cpus, max_restarts=-1)(ReplicaServer)
        self._actors: dict[str, Any] = {}
        self._n_started = self._n_busy = self._n_idle = 0

    async def start(self) -> None:
        """Start the least number of replicas, and wait for the first to answer. Raises what it raises."""
        for _ in range(self._size.least):
            self._add()
        await asyncio.gather(*(self._find(name) for name in list(self._actors)))
        if not self._router.replicas:
            raise MachineError("no replica could be started; the log of the Ray workers has the reason")

    async def look_forever(self) -> None:
        """Check the replicas, find those that moved, and adapt their number to the load."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._router.check()
            for replica in list(self._router.replicas):
                if not replica.is_up:
                    await self._find(replica.name)
            await self._adapt()

    def stop(self) -> None:
        """End all replicas."""
        import ray

        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()

    def _add(self) -> str:
        name = f"replica-{self._n_started}"
        self._n_started += 1
        self._actors[name] = self._actor.remote(self._make_pool, self._key)
        return name

    async def _find(self, name: str) -> None:
        """Ask an actor where it listens; one that was restarted listens elsewhere."""
        import ray

        try:
            url = await asyncio.wait_for(self._actors[name].url.remote(), 600)
        except (ray.exceptions.RayActorError, TimeoutError) as error:
            _LOG.warning("%s does not start: %s", name, str(error).splitlines()[0])
            return
        known = next((replica for replica in self._router.replicas if replica.name == name), None)
        if known is None:
            self._router.replicas.append(Replica(name, url, self._key))
        elif known.url != url:
            known.url, known.is_up = url, True

    async def _adapt(self) -> None:
        replicas = self._router.replicas
        load = sum(replica.n_running for replica in replicas) / max(len(replicas), 1)
        self._n_busy = self._n_busy + 1 if load > _BUSY else 0
        self._n_idle = self._n_idle + 1 if load < _IDLE else 0
        if self._n_busy >= _GROW_AFTER and len(self._actors) < self._size.most:
            self._n_busy = 0
            await self._find(self._add())
        elif self._n_idle >= _SHRINK_AFTER and len(replicas) > self._size.least:
            self._n_idle = 0
            idle = next((replica for replica in reversed(replicas) if not replica.n_running), None)
            if idle is not None:
                replicas.remove(idle)
                import ray

                ray.kill(self._actors.pop(idle.name))
