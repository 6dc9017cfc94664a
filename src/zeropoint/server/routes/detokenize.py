"""POST /detokenize: the text of token ids."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.server.fields import Field, checked, integer, items, parse_json, refuse, text
from zeropoint.server.generation import serving

PATH, METHOD = "/detokenize", "POST"
SUMMARY = "The text of token ids."
FIELDS: Mapping[str, Field] = {
    "model": Field(text, None, "The model's name; by default the first one served."),
    "tokens": Field(items(integer(0, 2**31 - 1)), None, "The token ids.", is_required=True),
}


async def endpoint(request: Request) -> Response:
    """Raises ApiError for an id outside the vocabulary."""
    values = checked(parse_json(await request.body()), FIELDS)
    pool = request.app.state.pool
    async with serving(pool, pool.find(values["model"])) as thread:
        n_vocab = thread.model.blueprint.n_vocab
        for i, index in enumerate(values["tokens"]):
            if index >= n_vocab:
                raise refuse(f"tokens[{i}]", index, f"below {n_vocab}, the size of the vocabulary")
        return JSONResponse({"content": await thread.call(lambda model: model.detokenize(values["tokens"]))})
