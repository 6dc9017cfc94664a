"""POST /tokenize: the token ids of a text."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.server.fields import Field, boolean, checked, parse_json, text
from zeropoint.server.generation import serving

PATH, METHOD = "/tokenize", "POST"
SUMMARY = "The token ids of a text."
FIELDS: Mapping[str, Field] = {
    "model": Field(text, None, "The model's name; by default the first one served."),
    "content": Field(text, None, "The text.", is_required=True),
    "with_pieces": Field(boolean, False, "Also the text of each token."),
}


async def endpoint(request: Request) -> Response:
    """Text that spells a control token is encoded as plain text."""
    values = checked(parse_json(await request.body()), FIELDS)
    pool = request.app.state.pool
    async with serving(pool, pool.find(values["model"])) as thread:
        ids = await thread.call(lambda model: model.tokenize(values["content"]))
        if not values["with_pieces"]:
            return JSONResponse({"tokens": ids})
        pieces = await thread.call(lambda model: [model.detokenize([index]) for index in ids])
    return JSONResponse(
        {"tokens": [{"id": index, "piece": piece} for index, piece in zip(ids, pieces, strict=True)]}
    )
