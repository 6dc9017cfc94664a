"""GET /openapi.json: this server's endpoints and fields, as an OpenAPI document."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint import registry

PATH, METHOD = "/openapi.json", "GET"
SUMMARY = "This document."


async def endpoint(request: Request) -> Response:
    """The document, made from the same tables that check requests."""
    return JSONResponse(_document())


@cache
def _document() -> dict[str, Any]:
    package = __name__.rpartition(".")[0]
    paths: dict[str, Any] = {}
    for name in registry.names(package):
        module = registry.load(package, name)
        paths.setdefault(module.PATH.replace(":path}", "}"), {})[module.METHOD.lower()] = _operation(
            name, module
        )
    info = {"title": "zeropoint", "version": "1", "description": "Language models on this machine."}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _operation(name: str, module: ModuleType) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": module.SUMMARY,
        "responses": {"200": {"description": "The result."}, "default": {"description": "An error object."}},
    }
    if fields := getattr(module, "FIELDS", None):
        schema = {
            "type": "object",
            "properties": {key: field.schema() for key, field in fields.items()},
            "required": [key for key, field in fields.items() if field.is_required],
            "additionalProperties": False,
        }
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    if "{" in module.PATH:
        part = module.PATH.partition("{")[2].partition(":")[0]
        operation["parameters"] = [
            {"name": part, "in": "path", "required": True, "schema": {"type": "string"}}
        ]
    return operation
