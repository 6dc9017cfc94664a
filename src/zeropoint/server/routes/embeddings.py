"""POST /v1/embeddings: a vector for each text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.engine.session.embed import POOLINGS
from zeropoint.server.engine_thread import AnyModel
from zeropoint.server.fields import Field, checked, integer, one_of, parse_json, refuse, text
from zeropoint.server.generation import IGNORED, serving
from zeropoint.server.prompts import Prompt, prompts

PATH, METHOD = "/v1/embeddings", "POST"
SUMMARY = "A vector for each text, of length 1."

POOLING = Field(one_of(*POOLINGS), "mean", "mean of the last hidden states, the last, or the first (cls).")
FIELDS: Mapping[str, Field] = {
    "model": Field(text, None, "The model's name; by default the first one served."),
    "input": Field(prompts(2048), None, "A text, token ids, or a list of either.", is_required=True),
    "encoding_format": Field(one_of("float", "base64"), "float", "Numbers, or little-endian float32."),
    "dimensions": Field(integer(1, 1 << 20), None, "Keep only the first ones, and make their length 1."),
    "pooling": POOLING,
}


async def endpoint(request: Request) -> Response:
    """Texts are embedded one after another; other requests go on in between."""
    values = checked(parse_json(await request.body()), FIELDS, IGNORED)
    pool = request.app.state.pool
    served = pool.find(values["model"])
    data, n_tokens = [], 0
    async with serving(pool, served) as thread:
        width = thread.model.blueprint.d_model
        n_kept = values["dimensions"] or width
        if n_kept > width:
            raise refuse("dimensions", n_kept, f"at most {width}, the width of this model")
        for index, prompt in enumerate(values["input"]):
            if not prompt:
                raise refuse(f"input[{index}]", prompt, "a text that is not empty")
            vector, n = await thread.call(partial(embed, prompt=prompt, pooling=values["pooling"]))
            n_tokens += n
            if n_kept < width:
                vector = vector[:n_kept] / max(float(vector[:n_kept] @ vector[:n_kept]) ** 0.5, 1e-12)
            encoded: Any = vector.tolist()
            if values["encoding_format"] == "base64":
                encoded = base64.b64encode(vector.astype("<f4").tobytes()).decode()
            data.append({"object": "embedding", "index": index, "embedding": encoded})
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return JSONResponse({"object": "list", "data": data, "model": served.name, "usage": usage})


def embed(model: AnyModel, prompt: Prompt, pooling: str) -> tuple[Any, int]:
    """The vector of a text, and its number of tokens."""
    n_tokens = len(model.tokenize(prompt)) if isinstance(prompt, str) else len(prompt)
    return model.embed([prompt], pooling=pooling)[0], n_tokens
