"""GET /v1/models: which models this server answers with."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.server.models import Served

PATH, METHOD = "/v1/models", "GET"
SUMMARY = "List the models that this server answers with."


async def endpoint(request: Request) -> Response:
    """All models, loaded or not."""
    models = [describe(served) for served in request.app.state.pool.models.values()]
    return JSONResponse({"object": "list", "data": models})


def describe(served: Served) -> dict[str, Any]:
    """A model in OpenAI's form."""
    return {"id": served.name, "object": "model", "created": served.created, "owned_by": "zeropoint"}
