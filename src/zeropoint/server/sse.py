"""Server-sent events, in which answers are streamed. A client that leaves ends its answer at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from zeropoint.server.errors import of_exception

__all__ = ["DONE", "EventStream", "event", "until_disconnected"]

T = TypeVar("T")
DONE = b"data: [DONE]\n\n"
_PING = b": ping\n\n"  # a comment, so that proxies do not close the connection while a long prompt is read
_PING_SECONDS = 15.0


def event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    """One event; `name` for the APIs whose events have types."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


class EventStream(Response):
    """Sends events as they come. An error after the start is an event, since the status is already sent.

    failure: makes the event of an error.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        failure: Callable[[BaseException], bytes] = lambda error: event(of_exception(error).body()),
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._failure = failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await until_disconnected(receive, self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        async def send_part(part: bytes, more_body: bool = True) -> None:
            await send({"type": "http.response.body", "body": part, "more_body": more_body})

        pending = asyncio.ensure_future(anext(self._events))
        try:
            while True:
                done, _ = await asyncio.wait({pending}, timeout=_PING_SECONDS)
                if not done:
                    await send_part(_PING)
                    continue
                await send_part(pending.result())
                pending = asyncio.ensure_future(anext(self._events))
        except StopAsyncIteration:
            await send_part(b"", more_body=False)
        except Exception as error:
            await send_part(self._failure(error), more_body=False)
        finally:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
            await self._events.aclose()


async def until_disconnected(receive: Receive, work: Awaitable[T]) -> T | None:
    """The result of `work`; None if the client left first, which cancels it."""

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task, watcher = asyncio.ensure_future(work), asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        for other in (task, watcher):
            other.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)
