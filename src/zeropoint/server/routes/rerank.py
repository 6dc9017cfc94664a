"""POST /v1/rerank: documents by how much they resemble a query, in Jina's and Cohere's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.server.fields import Field, boolean, checked, integer, items, parse_json, refuse, text
from zeropoint.server.generation import IGNORED, serving
from zeropoint.server.routes.embeddings import POOLING
from zeropoint.server.schemas import DOCUMENT
from zeropoint.server.similarity import cosines, vectors

PATH, METHOD = "/v1/rerank", "POST"
SUMMARY = "Documents by how much they resemble a query: the cosine of their vectors."


def _document(value: Any, path: str) -> str:
    """A text, or an object with one."""
    if isinstance(value, dict) and set(value) == {"text"}:
        value = value["text"]
    if not isinstance(value, str) or not value:
        raise refuse(path, value, 'a text that is not empty, or {"text": ...}')
    return text(value, path)


_DOCUMENTS = {"type": "array", "items": DOCUMENT, "minItems": 1, "maxItems": 2048}
FIELDS: Mapping[str, Field] = {
    "model": Field(text, None, "The model's name; by default the first one served."),
    "query": Field(_document, None, "What the documents are compared with.", is_required=True, form=DOCUMENT),
    "documents": Field(
        items(_document, 1, 2048), None, "Up to 2,048 texts.", is_required=True, form=_DOCUMENTS
    ),
    "top_n": Field(integer(1, 2048), None, "Return only this many, the best; by default all."),
    "return_documents": Field(boolean, True, "Whether the results contain the texts."),
    "pooling": POOLING,
}


async def endpoint(request: Request) -> Response:
    """The best first; of equals, the earlier."""
    values = checked(parse_json(await request.body()), FIELDS, IGNORED)
    pool = request.app.state.pool
    served = pool.find(values["model"])
    documents = values["documents"]
    async with serving(pool, served) as thread:
        query, n_query = await vectors(thread, [values["query"]], "query", values["pooling"])
        found, n_documents = await vectors(thread, documents, "documents", values["pooling"])
    scores = cosines(query, found)
    order = sorted(range(len(scores)), key=lambda i: -scores[i])[: values["top_n"]]
    results: list[dict[str, Any]] = [{"index": i, "relevance_score": scores[i]} for i in order]
    if values["return_documents"]:
        results = [{**result, "document": {"text": documents[result["index"]]}} for result in results]
    n_tokens = n_query + n_documents
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return JSONResponse({"object": "list", "model": served.name, "results": results, "usage": usage})
