"""What is answered: JSON, and errors as `{"error": one line, "code": a word}` with the status that fits."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi.responses import Response

from vision.errors import DataError, SourceError, StepError, UsageError, VisionError, WeightsError
from vision.serve.picture import TooLarge
from vision.serve.turns import Busy

_log = logging.getLogger("vision.serve")
STATUSES = {                                             # of the errors that a request may bring about, and their codes
    400: "the body cannot be read", 401: "a token is needed", 403: "asked by a page of another server",
    404: "there is no such task or job", 408: "it did not come in time", 413: "too large, or too many pixels",
    415: "no kind of content that is taken", 421: "not this server's name",
    422: "options that cannot be, or no picture that can be read", 429: "too often",
    500: "a model failed", 503: "busy, loading, or not well",
}


class Refusal(VisionError):
    """A request that is answered with a status of its own."""

    def __init__(self, status: int, code: str, why: str) -> None:
        super().__init__(why)
        self.status, self.code = status, code


def answer(values: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Plain values as JSON."""
    return Response(json.dumps(values, ensure_ascii=False), status, headers, "application/json")


def status_of(error: BaseException) -> tuple[int, str]:
    """The status and the code of an error."""
    cause = error.__cause__ if isinstance(error, StepError) else error
    match cause:
        case Refusal():
            return cause.status, cause.code
        case Busy():
            return 503, "busy"
        case TooLarge():
            return 413, "pixels"
        case SourceError():
            return 422, "bad_picture"
        case UsageError() | DataError():
            return 422, "usage"
        case WeightsError():
            return 422, "no_weights"
    return 500, "failed"


def cause_of(error: BaseException) -> str:
    """Why a picture has no result, for the metrics."""
    code = status_of(error)[1]
    return {"busy": "busy", "bad_picture": "not a picture", "pixels": "not a picture"}.get(code, "failed")


def told(error: BaseException) -> dict[str, Any]:
    """An error as plain values. What was not foreseen is logged, and not told."""
    more = {"ahead": error.ahead} if isinstance(error, Busy) else {}
    text = str(error) if isinstance(error, VisionError) else "the server failed; its log says more."
    code = status_of(error)[1]
    if code == "no_weights":                             # whose message is the operator's: it has paths
        _log.error("%s", error)
        text = "this server does not have the weights that this needs; its log says which."
    return {"error": text, "code": code, **more}


def error_answer(error: BaseException) -> Response:
    """An error as an answer. What was not foreseen is logged with its place."""
    if not isinstance(error, VisionError):
        _log.error("a request failed", exc_info=error)
    status = status_of(error)[0]
    return answer(told(error), status, {"retry-after": "1"} if status in (429, 503) else None)
