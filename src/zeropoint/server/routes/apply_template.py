"""POST /apply-template: the prompt that the model reads for a conversation."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.server.chat_messages import messages, tools
from zeropoint.server.fields import Field, checked, mapping, parse_json, text
from zeropoint.server.generation import serving
from zeropoint.server.schemas import MESSAGES, TOOLS

PATH, METHOD = "/apply-template", "POST"
SUMMARY = "The prompt that the model reads for a conversation, and its token ids."
FIELDS: Mapping[str, Field] = {
    "model": Field(text, None, "The model's name; by default the first one served."),
    "messages": Field(messages, None, "The conversation.", is_required=True, form=MESSAGES),
    "tools": Field(tools, (), "Functions that the model may call.", form=TOOLS),
    "chat_template_kwargs": Field(mapping, None, "Other variables of the chat template."),
}


async def endpoint(request: Request) -> Response:
    """Up to the start of the answer."""
    values = checked(parse_json(await request.body()), FIELDS)
    pool = request.app.state.pool
    async with serving(pool, pool.find(values["model"])) as thread:
        ids = await thread.call(
            lambda model: model.encode_chat(
                values["messages"],
                tools=list(values["tools"]) or None,
                template_kwargs=values["chat_template_kwargs"],
            )
        )
        prompt = await thread.call(lambda model: model.tokenizer.decode(ids, skip_special_tokens=False))
    return JSONResponse({"prompt": prompt, "tokens": ids})
