"""GET /v1/models/{id}: one model."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.server.routes.models import describe

PATH, METHOD = "/v1/models/{model:path}", "GET"
SUMMARY = "Describe one model."


async def endpoint(request: Request) -> Response:
    """The model, or 404."""
    return JSONResponse(describe(request.app.state.pool.find(request.path_params["model"])))
