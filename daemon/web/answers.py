"""Errors as answers: an envelope for programs, a page for people, one table from error to HTTP status."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from daemon.core.errors import (
    AuthError,
    BlockedError,
    ConfigError,
    Fenced,
    HandoffdError,
    NotFound,
    PermanentError,
    TransientError,
)

_STATUS: tuple[tuple[type[HandoffdError], int], ...] = (
    (NotFound, 404),
    (Fenced, 409),
    (BlockedError, 409),
    (PermanentError, 422),
    (AuthError, 502),
    (TransientError, 503),
    (ConfigError, 503),
)

PROGRAM_PATHS = ("/api/", "/webhooks/", "/healthz", "/readyz", "/metrics", "/static/", "/v1/", "/_board/")
"""Where a client is a program: it gets JSON, also for an error."""


class Refusal(Exception):
    """Ends a request with ``status`` and an explanation. ``code`` is a stable lower-case word."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.headers = dict(headers or {})


def refusal_of(error: HandoffdError) -> Refusal:
    """The HTTP form of one of our errors."""
    status = next((s for kind, s in _STATUS if isinstance(error, kind)), 500)
    message = "; ".join([error.message, *error.problems])
    headers = {"retry-after": "5"} if status == 503 else {}
    return Refusal(status, error.code, message, error.hint, headers)


def of_status(status: int) -> Refusal:
    """A refusal for a bare HTTP status, as the router gives it for an unknown path or a wrong method."""
    phrase = HTTPStatus(status).phrase
    known = {404: ("not_found", "There is nothing at this address."), 405: ("method_not_allowed", "")}
    code, message = known.get(status, (phrase.lower().replace(" ", "_"), ""))
    hint = "docs/http.md lists the addresses and their methods"
    return Refusal(status, code, message or f"{phrase}.", hint)


def for_programs(path: str) -> bool:
    """True when ``path`` is answered in JSON."""
    return path.startswith(PROGRAM_PATHS)


def envelope(refusal: Refusal) -> JSONResponse:
    """``{"error": {"code", "message", "hint"}}`` (contract.md §5)."""
    body: dict[str, Any] = {"error": {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}}
    return JSONResponse(body, status_code=refusal.status, headers=refusal.headers)
