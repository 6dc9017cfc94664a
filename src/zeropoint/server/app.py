"""The application: routes found by their files, behind the guard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from types import ModuleType

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from zeropoint import registry
from zeropoint.errors import ZeropointError
from zeropoint.server.errors import ApiError, error_response, of_exception
from zeropoint.server.guard import Guard, GuardOptions
from zeropoint.server.models import ModelPool

__all__ = ["make_app", "routes"]

_LOG = logging.getLogger("zeropoint.server")
_ROUTES = "zeropoint.server.routes"
_UNLOAD_EVERY = 5.0  # seconds


def routes() -> list[ModuleType]:
    """Every module of `routes/`."""
    return [registry.load(_ROUTES, name) for name in registry.names(_ROUTES)]


def make_app(pool: ModelPool, options: GuardOptions | None = None) -> ASGIApp:
    """The server as an ASGI application, which loads and unloads the models of the pool."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        watcher = asyncio.create_task(_unload_idle(pool))
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            await pool.close()

    app = Starlette(
        routes=[Route(module.PATH, module.endpoint, methods=[module.METHOD]) for module in routes()],
        lifespan=lifespan,
        exception_handlers={
            Exception: _failed,
            ZeropointError: _failed,
            ApiError: _failed,
            HTTPException: _not_routed,
        },
    )
    app.state.pool = pool
    return Guard(app, options or GuardOptions())


async def _unload_idle(pool: ModelPool) -> None:
    while True:
        await asyncio.sleep(_UNLOAD_EVERY)
        await pool.unload_idle()


async def _failed(request: Request, error: Exception) -> Response:
    failure = of_exception(error)
    if failure.status >= 500:
        _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(failure)


async def _not_routed(request: Request, error: Exception) -> Response:
    """Unknown paths and methods."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = request.url.path[:200]
    if status == 405:
        message, code = f"{path} does not take {request.method}", "method_not_allowed"
    else:
        message, code = f"there is no {path}; /openapi.json lists what this server answers", "unknown_url"
    headers = error.headers if isinstance(error, HTTPException) else None  # `allow`
    return error_response(ApiError(status, message, code=code, headers=headers))
