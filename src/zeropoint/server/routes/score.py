"""POST /v1/score: how alike pairs of texts are, in the form of vLLM's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.server.errors import ApiError
from zeropoint.server.fields import Field, checked, items, parse_json, text
from zeropoint.server.generation import IGNORED, serving
from zeropoint.server.routes.embeddings import POOLING
from zeropoint.server.schemas import TEXT_OR_TEXTS
from zeropoint.server.similarity import cosines, vectors

PATH, METHOD = "/v1/score", "POST"
SUMMARY = "How alike texts are: the cosine of their vectors."


def _texts(value: Any, path: str) -> list[str]:
    """A text or a list of texts."""
    texts: list[str] = [text(value, path)] if isinstance(value, str) else items(text, 1, 2048)(value, path)
    return texts


FIELDS: Mapping[str, Field] = {
    "model": Field(text, None, "The model's name; by default the first one served."),
    "text_1": Field(_texts, None, "A text, or as many as in text_2.", is_required=True, form=TEXT_OR_TEXTS),
    "text_2": Field(_texts, None, "A text or a list of texts.", is_required=True, form=TEXT_OR_TEXTS),
    "pooling": POOLING,
}


async def endpoint(request: Request) -> Response:
    """One text with each of several, or text by text."""
    values = checked(parse_json(await request.body()), FIELDS, IGNORED)
    left, right = values["text_1"], values["text_2"]
    if len(left) not in (1, len(right)):
        message = f"text_1 must be one text or as many as text_2, {len(right)}; got {len(left)}"
        raise ApiError(400, message, param="text_1", code="invalid_value")
    pool = request.app.state.pool
    served = pool.find(values["model"])
    async with serving(pool, served) as thread:
        first, n_first = await vectors(thread, left, "text_1", values["pooling"])
        second, n_second = await vectors(thread, right, "text_2", values["pooling"])
    data = [
        {"object": "score", "index": index, "score": score}
        for index, score in enumerate(cosines(first, second))
    ]
    usage = {"prompt_tokens": n_first + n_second, "total_tokens": n_first + n_second}
    return JSONResponse({"object": "list", "model": served.name, "data": data, "usage": usage})
