"""GET /health: whether the server accepts requests."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

PATH, METHOD = "/health", "GET"
SUMMARY = "Whether the server accepts requests."


async def endpoint(request: Request) -> Response:
    """200 once the server is up."""
    return JSONResponse({"status": "ok"})
