"""Answer a file of requests in OpenAI's batch format: one JSON object per line, in and out.

The lines go through the same application as requests over HTTP, so their bodies mean the same. Results are
appended to a file next to the output as they come; a run that was interrupted continues where it stopped.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.errors import BadInput, DiskError
from zeropoint.files.atomic_write import replace_file
from zeropoint.server.app import make_app
from zeropoint.server.models import ModelPool

if TYPE_CHECKING:
    import httpx2

__all__ = ["BatchLine", "answer_one", "client_of", "read_batch", "run_batch", "write_batch"]

_ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
_KEYS = {"custom_id", "method", "url", "body"}
_MAX_ID_CHARS = 512

BatchLine = tuple[str, str, dict[str, Any]]
"""custom_id, url and body of a request."""


def read_batch(path: Path) -> Iterator[BatchLine]:
    """The requests of a file, in order. Raises BadInput naming the line at fault."""
    seen = set()
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    request = _parsed(line, f"{path}, line {number}")
                    if request[0] in seen:
                        raise BadInput(f"{path}, line {number}: custom_id {request[0]!r} occurs twice")
                    seen.add(request[0])
                    yield request
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}") from None


def run_batch(
    pool: ModelPool,
    source: Path,
    target: Path,
    *,
    n_parallel: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, int]:
    """Answer all requests here, n_parallel at a time; otherwise as `write_batch`."""

    def answers(requests: Iterator[BatchLine], write: Callable[[str], None]) -> None:
        asyncio.run(_answer_all(pool, requests, write, n_parallel))

    return write_batch(source, target, answers, on_progress)


def write_batch(
    source: Path,
    target: Path,
    answers: Callable[[Iterator[BatchLine], Callable[[str], None]], None],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, int]:
    """Answer all requests and write the results in their order. Returns how many there are, and failed.

    answers(requests, write): calls write(line) for each request, in any order. Raises BadInput for a file
    that is no batch, before anything is computed; DiskError.
    """
    names = [custom_id for custom_id, _, _ in read_batch(source)]
    partial = target.with_name(f"{target.name}.partial")
    done = _finished(partial)
    try:
        with partial.open("a", encoding="utf-8") as results:
            n_done = len(done)

            def write(line: str) -> None:
                nonlocal n_done
                results.write(f"{line}\n")
                results.flush()
                n_done += 1
                on_progress(n_done, len(names))

            answers((request for request in read_batch(source) if request[0] not in done), write)
        lines = _finished(partial)
        ordered = [lines[name] for name in names if name in lines]
        replace_file(target, "".join(f"{line}\n" for line in ordered).encode())
        partial.unlink()
    except OSError as error:
        raise DiskError(f"cannot write {target}: {error.strerror}") from None
    n_failed = sum(json.loads(line)["error"] is not None for line in ordered)
    return len(ordered), n_failed


async def _answer_all(
    pool: ModelPool, requests: Iterator[BatchLine], write: Callable[[str], None], n_parallel: int
) -> None:
    """n_parallel workers take one request after another, so that memory does not grow with the file."""

    async def work(client: httpx2.AsyncClient) -> None:
        for request in requests:
            write(await answer_one(client, request))

    async with client_of(pool) as client:
        try:
            await asyncio.gather(*(work(client) for _ in range(n_parallel)))
        finally:
            await pool.close()


def client_of(pool: ModelPool) -> httpx2.AsyncClient:
    """A client of the application itself, without a connection."""
    import httpx2

    transport = httpx2.ASGITransport(make_app(pool), raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=None)


async def answer_one(client: httpx2.AsyncClient, request: BatchLine) -> str:
    """The line of the output for a request."""
    custom_id, url, body = request
    response = await client.post(url, json={key: body[key] for key in body if key != "stream"})
    return json.dumps(_result(custom_id, response.status_code, response.json()))


def _result(custom_id: str, status: int, body: dict[str, Any]) -> dict[str, Any]:
    """A line of the output."""
    is_failed = status >= 400
    response = {"status_code": status, "request_id": f"req_{uuid.uuid4().hex}", "body": body}
    error = {"code": body["error"]["code"], "message": body["error"]["message"]} if is_failed else None
    return {
        "id": f"batch_req_{uuid.uuid4().hex}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }


def _finished(partial: Path) -> dict[str, str]:
    """The complete lines of an earlier run, by custom_id; a line that was cut off is removed."""
    if not partial.exists():
        return {}
    content = partial.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with partial.open("r+b") as file:
            file.truncate(end)
    lines = content[:end].decode("utf-8").splitlines()
    try:
        return {json.loads(line)["custom_id"]: line for line in lines}
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{partial} is no unfinished batch; remove it") from None


def _parsed(line: str, where: str) -> BatchLine:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: not JSON: {error}") from None
    if not isinstance(request, dict) or set(request) != _KEYS:
        raise BadInput(f"{where}: expected an object with {', '.join(sorted(_KEYS))}")
    custom_id, url, body = request["custom_id"], request["url"], request["body"]
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= _MAX_ID_CHARS:
        raise BadInput(f"{where}: custom_id must be a text of 1 to {_MAX_ID_CHARS} characters")
    if request["method"] != "POST" or url not in _ENDPOINTS:
        raise BadInput(f"{where}: method must be POST, and url one of {', '.join(_ENDPOINTS)}")
    if not isinstance(body, dict):
        raise BadInput(f"{where}: body must be an object")
    return custom_id, url, body
