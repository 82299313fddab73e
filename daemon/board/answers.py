"""What an answer of the API means: the one place that turns status + JSON ``code`` into our errors.

Never by the class that notion-client raises: it doesn't know half of the codes (research/notion.md §1.4,
§1.5).

=============================================  =======================  =====================================
answer                                          read (GET, query)        write (POST, PATCH, DELETE)
=============================================  =======================  =====================================
429, 529                                        wait, again              wait, again: it was not carried out
5xx, 408, cut connection, timeout, no JSON      again                    Ambiguous: look before repeating
409                                             again                    Ambiguous: read again, then decide
no connection at all                            again                    again: it was never sent
401, 403, 404, 400, 413                         raised at once           raised at once
=============================================  =======================  =====================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from daemon.board.budget import NoPart
from daemon.core.errors import (
    Ambiguous,
    AuthError,
    ConfigError,
    HandoffdError,
    NotFound,
    PermanentError,
    TransientError,
    Unreachable,
)
from daemon.core.text import one_line

_BLOCKED = "public_api_request_blocked"
"""A 429 that never clears: the integration itself is blocked (research/notion.md §2.10)."""

_SHARE = (
    "either it does not exist, or it is not shared with the integration: "
    "open it in Notion → ••• → Connections → add the integration"
)


class Refused(PermanentError):
    """The API says that the request itself is wrong (400). ``api_code`` and ``api_message`` as it gave
    them."""

    def __init__(self, message: str, *, api_code: str, api_message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.api_code = api_code
        self.api_message = api_message


class NetworkBlock(Unreachable):
    """Something between us and the board refuses the call (a firewall's HTML 403, pain 36): asking again at
    once can't help, a later tick may."""


class QuotaError(PermanentError):
    """The workspace's plan allows no more blocks; properties can still be written (pain 38)."""

    code = "quota"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the service asks us to wait, never cut; None when it names none.

    A date is counted from the answer's own ``Date``, since our clock may be wrong; ``now``, epoch seconds,
    stands in where there is none.
    """
    raw = headers.get("retry-after", "").strip()
    seconds = _number(raw)
    if seconds is not None:
        return seconds
    when = _http_date(raw)
    if when is None:
        return None
    sent = _http_date(headers.get("date", "")) or datetime.fromtimestamp(now, UTC)
    return max(0.0, (when - sent).total_seconds())


def request_id(headers: Mapping[str, str], body: str = "") -> str:
    """The id under which the service's support finds a call; Cloudflare's when it never got so far; "" when
    the answer names none."""
    known = headers.get("x-notion-request-id") or _parsed(body).get("request_id") or headers.get("cf-ray")
    return one_line(str(known or ""), 80)


def passes(error: BaseException) -> bool:
    """Is it worth another try, after a wait? For a write that may have landed: after a look."""
    return isinstance(error, TransientError) and not isinstance(error, NetworkBlock | NoPart)


def meaning(
    *, what: str, write: bool, status: int, headers: Mapping[str, str], body: str, now: float
) -> HandoffdError:
    """The error for an answer that is not 2xx. ``what``: the call in words, for the message."""
    answer = _parsed(body)
    code = str(answer.get("code", ""))
    said = one_line(str(answer.get("message", "")), 500)
    extra = answer.get("additional_data")
    data: Mapping[str, Any] = extra if isinstance(extra, dict) else {}
    message = f"{what}: {status} {code or 'without a code'}: {said or one_line(body, 120) or 'empty answer'}"
    if status in (429, 529):
        if data.get("rate_limit_reason") == _BLOCKED:
            return AuthError(message, hint="Notion has blocked this integration: ask its support")
        named = retry_after(headers, now)
        if named is None:
            named = _number(data.get("retry_after"))
        return TransientError(message, hint="it goes on by itself", retry_after=named)
    if status == 409 or status == 408 or status >= 500:
        if write:
            return Ambiguous(message)
        return Unreachable(message, hint="the board has trouble; it is asked again")
    if status == 401:
        return AuthError(message, hint="the token was refused: set the secret notion_token to a valid one")
    if status == 403:
        return _forbidden(message, code, data)
    if status == 404:
        if not code:
            return ConfigError(message, hint="nothing that speaks the Notion API is at board.base_url")
        return NotFound(message, hint=_SHARE)
    if 300 <= status < 400:
        return ConfigError(message, hint="board.base_url redirects: use the address that it leads to")
    return _bad_request(message, code, said)


def no_json(what: str, write: bool, status: int, body: str) -> HandoffdError:
    """A 2xx answer that is not a JSON object: a captive portal, a proxy, a cut answer."""
    message = f"{what}: {status}, but the answer is not the API's JSON: {one_line(body, 120) or 'empty'}"
    if write:
        return Ambiguous(message)
    return Unreachable(message, hint="something between us and the board answers in its place")


def not_sent(what: str, error: Exception) -> HandoffdError:
    """No connection: the request never left, so it may be repeated as it is."""
    return Unreachable(f"{what}: no connection to the board: {_reason(error)}", hint="it is tried again")


def lost(what: str, write: bool, error: Exception) -> HandoffdError:
    """The request went out and no whole answer came back."""
    message = f"{what}: no answer from the board: {_reason(error)}"
    return Ambiguous(message) if write else Unreachable(message, hint="it is tried again")


def _reason(error: Exception) -> str:
    return one_line(str(error), 200) or type(error).__name__


def _forbidden(message: str, code: str, data: Mapping[str, Any]) -> HandoffdError:
    if not code:
        return NetworkBlock(
            message,
            hint="a firewall in between refused the call (not Notion's permissions): check the network",
        )
    if "block_limit" in data:
        return QuotaError(message, hint="the workspace's plan allows no more blocks; the report is kept here")
    return AuthError(
        message, hint="the integration lacks a capability: Notion → Settings → Connections → its capabilities"
    )


def _bad_request(message: str, code: str, said: str) -> HandoffdError:
    if code == "missing_version":
        return ConfigError(message, hint="board.version is not served there")
    if "should be a valid uuid" in said and said.startswith("path"):
        return NotFound(message, hint="no page or database can have this id: was it copied whole?")
    if "archived" in said and "edit" in said:
        return NotFound(message, hint="the page is in the trash: restore it, or leave it there")
    return Refused(message, api_code=code, api_message=said)


def _parsed(body: str) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _http_date(raw: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(raw)
    except (ValueError, TypeError):
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when
