"""One address for several servers: each request goes to the one that has its beginning in the cache.

Requests with the same beginning share a key. Rendezvous hashing (Thaler and Ravishankar, 1998) gives each key
an order of the replicas, which changes for few keys when a replica comes or goes; a replica with much more
work than the others is passed over (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded
loads", 2018).

Nothing reaches the client before a replica's answer is complete, or has begun to stream. Until then a request
whose replica is lost goes to the next one. A stream that breaks ends with an event that says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from zeropoint.server.errors import ApiError, error_response
from zeropoint.server.sse import event

__all__ = ["Replica", "Router", "prefix_key"]

_LOG = logging.getLogger("zeropoint.server")
_KEY_CHARS = 512  # of the beginning; prompts that share less share little work
_SLACK, _MORE = 4, 1.25  # a replica may have this share of the mean load, and a few requests besides
_WAIT_SECONDS = 0.25
_CHECK_SECONDS, _TIMEOUT = 1.0, httpx2.Timeout(600.0, connect=3.0)
_HOP_BY_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "te", "transfer-encoding"})


@dataclass
class Replica:
    """A server. url: without a path; key: its API key. n_running: requests that it works on."""

    name: str
    url: str
    key: str = ""
    is_up: bool = True
    n_running: int = 0


@dataclass
class _Lost(Exception):
    """A replica that cannot be reached any more."""

    replica: Replica
    reason: str = field(default="")


class Router:
    """An ASGI application in front of replicas, which may change while it runs.

    patience: seconds that a request waits if all replicas are lost; somebody must call `check` meanwhile.
    """

    def __init__(self, replicas: Sequence[Replica], patience: float = 60.0) -> None:
        self.replicas, self._patience = list(replicas), patience
        self._http = httpx2.AsyncClient(timeout=_TIMEOUT, limits=httpx2.Limits(max_connections=None))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        await (await self._respond(request))(scope, receive, send)

    def order(self, key: str) -> list[Replica]:
        """The replicas for a key, the best first: those with too much work come last, lost ones never."""
        up = [replica for replica in self.replicas if replica.is_up]
        ranked = sorted(up, key=lambda replica: hashlib.sha256(f"{key}\0{replica.name}".encode()).digest())
        limit = _SLACK + _MORE * sum(replica.n_running for replica in up) / max(len(up), 1)
        return sorted(ranked, key=lambda replica: replica.n_running > limit)

    async def check(self) -> None:
        """Ask every replica whether it is up."""

        async def one(replica: Replica) -> None:
            try:
                reply = await self._http.get(f"{replica.url}/health", headers=_auth(replica), timeout=3.0)
                is_up = reply.status_code == 200
            except httpx2.HTTPError:
                is_up = False
            if is_up != replica.is_up:
                _LOG.warning("replica %s is %s", replica.name, "back" if is_up else "lost")
            replica.is_up = is_up

        await asyncio.gather(*(one(replica) for replica in list(self.replicas)))

    async def check_forever(self) -> None:
        """Check the replicas now and then."""
        while True:
            await self.check()
            await asyncio.sleep(_CHECK_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _respond(self, request: Request) -> Response:
        if request.url.path == "/health":
            up = sum(replica.is_up for replica in self.replicas)
            return JSONResponse({"status": "ok" if up else "down", "replicas": up}, 200 if up else 503)
        body = await request.body()
        tried: list[Replica] = []
        key, waited = prefix_key(body), 0.0
        while True:
            chosen = next((replica for replica in self.order(key) if replica not in tried), None)
            if chosen is None and waited < self._patience:
                tried.clear()
                waited += _WAIT_SECONDS
                await asyncio.sleep(_WAIT_SECONDS)
                continue
            if chosen is None:
                return error_response(
                    ApiError(
                        503,
                        "no replica can be reached; try again later",
                        code="no_replica",
                        kind="server_error",
                        headers={"retry-after": "1"},
                    )
                )
            try:
                return await self._ask(chosen, request, body)
            except _Lost as lost:
                _LOG.warning("replica %s is lost: %s", chosen.name, lost.reason)
                chosen.is_up = False
                tried.append(chosen)

    async def _ask(self, replica: Replica, request: Request, body: bytes) -> Response:
        """The answer of a replica, complete or with its first part. Raises _Lost before either."""
        headers = {k: v for k, v in request.headers.items() if k not in _HOP_BY_HOP} | _auth(replica)
        target = f"{replica.url}{request.url.path}"
        target += f"?{request.url.query}" if request.url.query else ""
        outgoing = self._http.build_request(request.method, target, headers=headers, content=body)
        replica.n_running += 1
        reply: httpx2.Response | None = None
        try:
            reply = await self._http.send(outgoing, stream=True)
            kept = {k: v for k, v in reply.headers.items() if k not in _HOP_BY_HOP}
            if not reply.headers.get("content-type", "").startswith("text/event-stream"):
                content = await reply.aread()
                await self._end(replica, reply)
                return Response(content, reply.status_code, kept)
            parts = reply.aiter_raw()
            first = await anext(parts, b"")
        except httpx2.HTTPError as error:
            await self._end(replica, reply)
            raise _Lost(replica, str(error) or type(error).__name__) from None
        except BaseException:
            await self._end(replica, reply)
            raise
        return StreamingResponse(self._stream(replica, reply, first, parts), reply.status_code, kept)

    async def _stream(
        self, replica: Replica, reply: httpx2.Response, first: bytes, parts: Any
    ) -> AsyncGenerator[bytes]:
        try:
            yield first
            async for part in parts:
                yield part
        except httpx2.HTTPError as error:
            replica.is_up = False
            message = "the answer broke off because its server was lost; ask again"
            _LOG.warning("replica %s is lost during an answer: %s", replica.name, error)
            failure = ApiError(502, message, code="replica_lost", kind="server_error")
            yield event(failure.body(), "error")
        finally:
            await self._end(replica, reply)

    async def _end(self, replica: Replica, reply: httpx2.Response | None) -> None:
        replica.n_running -= 1
        if reply is not None:
            await reply.aclose()


def prefix_key(body: bytes) -> str:
    """The model of a request and the beginning of its text; the whole body if it has neither."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return hashlib.sha256(body).hexdigest()
    if not isinstance(values, dict):
        return hashlib.sha256(body).hexdigest()
    text = "".join(
        _texts(values.get(name))
        for name in ("system", "instructions", "tools", "messages", "prompt", "input")
    )
    return f"{values.get('model')}\0{text[:_KEY_CHARS]}"


def _texts(value: Any) -> str:
    """The texts of a field, in order; enough of them for a key."""
    found, stack, n_chars = list[str](), [value], 0
    while stack and n_chars < _KEY_CHARS:
        item = stack.pop()
        if isinstance(item, str):
            found.append(item)
            n_chars += len(item)
        elif isinstance(item, Mapping):
            stack += reversed(list(item.values()))
        elif isinstance(item, list):
            stack += reversed(item)
    return "\0".join(found)


def _auth(replica: Replica) -> dict[str, str]:
    return {"authorization": f"Bearer {replica.key}"} if replica.key else {}
