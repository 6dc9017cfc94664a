"""Errors as OpenAI's API reports them: a status, and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from zeropoint.errors import BadInput, ContextFull, OutOfMemory, ZeropointError

__all__ = ["ApiError", "error_response", "of_exception"]

_RETRY_SECONDS = 1
_DETERMINISTIC = {"x-should-retry": "false"}  # official clients repeat failed requests, unless told not to


class ApiError(Exception):
    """A request that is refused or failed. param: the field at fault; code: OpenAI's word for the reason."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.kind = status, message, param, code, kind
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def of_exception(error: BaseException) -> ApiError:
    """The API's form of an error of zeropoint; of any other, "internal", without its text."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextFull):
        return ApiError(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, BadInput):
        return ApiError(400, str(error), code="invalid_value")
    if isinstance(error, OutOfMemory):
        headers = {"retry-after": str(_RETRY_SECONDS)}
        return ApiError(503, str(error), code="out_of_memory", kind="server_error", headers=headers)
    if isinstance(error, ZeropointError):
        return ApiError(500, str(error), code="internal", kind="server_error", headers=_DETERMINISTIC)
    message = "the server failed; its log has the reason"
    return ApiError(500, message, code="internal", kind="server_error", headers=_DETERMINISTIC)


def error_response(error: ApiError) -> Response:
    """The response for an error."""
    return Response(json.dumps(error.body()), error.status, error.headers, "application/json")
