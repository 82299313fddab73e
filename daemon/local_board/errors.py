"""What the board answers when it refuses, in the service's own words.

Sources: recorded and measured answers of the service, Oct-Nov 2026 (status, code, wording).  Quoted values
are JSON as JavaScript's JSON.stringify writes it, cut to 55 UTF-16 units.
"""

from __future__ import annotations

import json
from typing import Any

QUOTE_LIMIT = 55
"""UTF-16 units of a refused value that are quoted back (measured)."""

SERVED_VERSIONS = ("2025-09-03", "2026-03-11")
PUBLISHED_VERSIONS = (
    "2021-05-11",
    "2021-05-13",
    "2021-08-16",
    "2022-02-22",
    "2022-06-28",
    "2025-09-03",
    "2026-03-11",
)


class Missing:
    """Stands for JavaScript's `undefined`: the member is not there at all."""

    def __repr__(self) -> str:
        return "undefined"


MISSING = Missing()


class ApiError(Exception):
    """A refusal: HTTP status, the API's error code, its message, and optional additional_data and headers."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        additional: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.additional = additional
        self.headers = headers or {}

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON object that is sent."""
        out: dict[str, Any] = {
            "object": "error",
            "status": self.status,
            "code": self.code,
            "message": self.message,
        }
        if self.additional is not None:
            out["additional_data"] = self.additional
        out["request_id"] = request_id
        return out


class OAuthError(ApiError):
    """A refusal of the OAuth endpoints, which has a shape of its own: {"error", "request_id"} (recorded)."""

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON object that is sent."""
        return {"error": self.code, "request_id": request_id}


def quote(value: object) -> str:
    """A refused value as the service shows it: JSON.stringify, cut to 55 UTF-16 units and "...", in
    backticks.
    """
    if isinstance(value, Missing):
        return "`undefined`"
    text = json.dumps(_javascript(value), ensure_ascii=False, separators=(",", ":"))
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) > QUOTE_LIMIT * 2:
        text = units[: QUOTE_LIMIT * 2].decode("utf-16-le", "replace") + "..."
    return f"`{text}`"


def _javascript(value: object) -> object:
    """Numbers as JavaScript keeps them: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, list):
        return [_javascript(item) for item in value]
    if isinstance(value, dict):
        return {name: _javascript(item) for name, item in value.items()}
    return value


def invalid_request_url() -> ApiError:
    """Unknown path, or a known path with the wrong method: never 404 or 405, and decided before anything
    else.
    """
    return ApiError(400, "invalid_request_url", "Invalid request URL.")


def invalid_json() -> ApiError:
    """The body is not JSON, or a bare scalar."""
    return ApiError(400, "invalid_json", "Error parsing JSON body.")


def unauthorized(message: str = "API token is invalid.") -> ApiError:
    """401, for an unknown token or a header that is not `Bearer <token>`."""
    return ApiError(401, "unauthorized", message)


def missing_version(value: str | None) -> ApiError:
    """The Notion-Version header is absent, unknown or empty."""
    start = "Notion-Version header failed validation: Notion-Version header should be "
    if value is None:
        return ApiError(400, "missing_version", f"{start}defined, instead was `undefined`.")
    names = [f'`"{name}"`' for name in PUBLISHED_VERSIONS]
    choice = ", ".join(names[:-1]) + f", or {names[-1]}"
    return ApiError(400, "missing_version", f"{start}{choice}, instead was {quote(value)}.")


def unserved_version(value: str) -> ApiError:
    """A version that the service has but this board does not: said plainly, so nobody takes it for the
    service.
    """
    served = " and ".join(SERVED_VERSIONS)
    return ApiError(501, "unserved_version", f"The local board serves Notion-Version {served}, not {value}.")


def not_served(what: str) -> ApiError:
    """Something that the service has and this board does not, refused rather than answered falsely."""
    return ApiError(
        501, "not_implemented", f"The local board does not serve {what}. See docs/board-conformance.md."
    )


def validation(message: str, *, additional: dict[str, Any] | None = None) -> ApiError:
    """400 validation_error with a free message."""
    return ApiError(400, "validation_error", message, additional=additional)


def failed(part: str, lines: list[str]) -> ApiError:
    """400 for a part of the request ("body", "path", "query") that does not fit its schema.

    One problem follows the colon; several are listed below "Fix one:".
    """
    if len(lines) == 1:
        return validation(f"{part} failed validation: {lines[0]}")
    return validation(f"{part} failed validation. Fix one:\n" + "\n".join(lines))


def rate_limited(retry_after: int, reason: str = "public_api_request_rate_limit") -> ApiError:
    """429 with Retry-After in whole seconds."""
    return ApiError(
        429,
        "rate_limited",
        "You have been rate limited. Please try again later.",
        additional={"rate_limit_reason": reason, "retry_after": str(retry_after)},
        headers={"Retry-After": str(retry_after)},
    )


ARCHIVED_EDIT = "Can't edit block that is archived. You must unarchive the block before editing."


def archived_edit() -> ApiError:
    """400 for a write to a page or block that is in the trash."""
    return validation(ARCHIVED_EDIT)
