"""POST /v1/messages/count_tokens: how many tokens the model reads for a conversation."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.server.fields import checked, parse_json
from zeropoint.server.generation import serving
from zeropoint.server.routes.messages import IGNORED, PROMPT_FIELDS, error_response, prompt_messages

PATH, METHOD = "/v1/messages/count_tokens", "POST"
SUMMARY = "How many tokens the model reads for a conversation, in the form of Anthropic's API."
FIELDS = PROMPT_FIELDS


async def endpoint(request: Request) -> Response:
    """The length of the prompt."""
    try:
        values = checked(parse_json(await request.body()), FIELDS, IGNORED)
        pool = request.app.state.pool
        async with serving(pool, pool.find(values["model"])) as thread:
            ids = await thread.call(
                lambda model: model.encode_chat(
                    prompt_messages(values), tools=list(values["tools"]) or None, thinking=values["thinking"]
                )
            )
    except Exception as error:
        return error_response(error)
    return JSONResponse({"input_tokens": len(ids)})
