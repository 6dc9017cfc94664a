"""What a request passes before its route: host, API key, size and time limits, and ids in the response.

Written as plain ASGI, so that a limit holds while the body arrives, and nothing is buffered on the way out.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import time
import uuid
from collections.abc import Collection, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zeropoint.frozen import frozen
from zeropoint.server.errors import ApiError, error_response, of_exception

__all__ = ["Guard", "GuardOptions"]

_MAX_HEADER_BYTES = 32_768
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_SAFE_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


@frozen
class GuardOptions:
    """api_keys: any of which admits; empty for none. hosts: accepted values of the Host header, without port,
    besides those of this computer; "*" for any. origins: sites whose pages may call the server (CORS).
    max_body_bytes; read_seconds: in which a body must arrive.
    """

    api_keys: Collection[str] = ()
    hosts: Collection[str] = ()
    origins: Collection[str] = ()
    max_body_bytes: int = 32 * 1024 * 1024
    read_seconds: float = 60.0


class Guard:
    """ASGI middleware. The request's id is in `scope["state"]["request_id"]`, its client in "client_id"."""

    def __init__(self, app: ASGIApp, options: GuardOptions) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        origin = headers.get("origin")
        allowed_origin = origin if origin and origin in self._options.origins else None
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                elapsed = f"{1000 * (time.perf_counter() - started):.0f}"
                extra = [("x-request-id", request_id), ("openai-processing-ms", elapsed)]
                if allowed_origin:
                    extra += [("access-control-allow-origin", allowed_origin), ("vary", "origin")]
                message["headers"] = [*message["headers"], *_encoded(extra)]
            await send(message)

        try:
            if scope["method"] == "OPTIONS" and allowed_origin:
                await _preflight(send_with_headers)
                return
            self._check(scope, headers)
            state = scope.setdefault("state", {})
            state["request_id"] = request_id
            state["client_id"] = headers.get("authorization") or (scope.get("client") or ["local"])[0]
            await self._app(scope, self._limited(receive, headers), send_with_headers)
        except Exception as error:
            if has_started:
                raise
            await error_response(of_exception(error))(scope, receive, send_with_headers)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        n_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
        if n_bytes > _MAX_HEADER_BYTES:
            message = f"the headers have {n_bytes} bytes; at most {_MAX_HEADER_BYTES} are read"
            raise ApiError(431, message, code="headers_too_large")
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        hosts = self._options.hosts
        if "*" not in hosts and name.lower() not in _SAFE_HOSTS and name.lower() not in hosts:
            raise ApiError(
                403,
                f"the Host header is `{host[:100]}`, which this server does not answer to; allow it with "
                f"--allow-host {name[:100]}",
                code="host_not_allowed",
                kind="permission_error",
            )
        self._check_key(headers)

    def _check_key(self, headers: dict[str, str]) -> None:
        """Compares in constant time: the time that a wrong key takes tells nothing about the right one."""
        keys = self._options.api_keys
        if not keys:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        given = given.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        matches = [hmac.compare_digest(given.encode(), key.encode()) for key in keys]
        if not any(matches):
            raise ApiError(
                401,
                "the API key is missing or wrong; send it as `Authorization: Bearer KEY`",
                code="invalid_api_key",
                kind="authentication_error",
            )

    def _limited(self, receive: Receive, headers: dict[str, str]) -> Receive:
        """Receives the body, as long as it is small enough and arrives in time."""
        limit, deadline = self._options.max_body_bytes, time.monotonic() + self._options.read_seconds
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        n_received = 0
        is_complete = False

        async def receive_limited() -> Message:
            nonlocal n_received, is_complete
            if is_complete:  # what follows is the client's disconnect, which may take any time
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                seconds = self._options.read_seconds
                raise ApiError(
                    408, f"the body did not arrive within {seconds:g} s", code="request_timeout"
                ) from None
            n_received += len(message.get("body", b""))
            is_complete = message["type"] != "http.request" or not message.get("more_body")
            if n_received > limit:
                raise _too_large(limit)
            return message

        return receive_limited


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is larger than {limit} bytes", code="request_too_large")


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _preflight(send: Send) -> None:
    """Answer a browser that asks what a page of an allowed site may send."""
    headers = [
        ("access-control-allow-methods", "GET, POST"),
        ("access-control-allow-headers", "authorization, content-type, x-api-key"),
        ("access-control-max-age", "600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": b""})
