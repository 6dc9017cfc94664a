"""Run the application with uvicorn until a signal ends it."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from zeropoint.errors import BadInput

__all__ = ["listen", "run"]

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises BadInput if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise BadInput(f"cannot listen on {host} port {port}: {error}; choose another --port") from None
    listener.listen(_BACKLOG)
    return listener


def run(listener: socket.socket, app: ASGIApp, *, drain_seconds: int) -> None:
    """Serve until SIGINT or SIGTERM; answers in progress then have drain_seconds to end."""
    config = uvicorn.Config(
        app,
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_level="critical",  # failures are logged where they are handled
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=drain_seconds,
        h11_max_incomplete_event_size=65_536,
    )
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends on a signal as a program should: uvicorn would raise the signal once more, after it has ended."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        former = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
