"""Faults on purpose, by rule: what the real service does on a bad day, repeatable.

A rule names a kind, which requests it hits (method and path as regular expressions), how often (count,
probability) and a seed.  Rules are tried in the order in which they were added; the first of each kind
that hits is used.

| kind | does |
|---|---|
| delay | waits `delay` seconds before the request is worked on |
| error | answers `status` (`code`, `message`, `retry_after`, `html`) `when` "before" or "after" the effect |
| cut | drops the connection without an answer, before or after the effect |
| stale_query | answers from the board's state at the time when the rule was added |
| rename_property | renames a property (`data_source`, `property`, `to`) before the request is worked on |
| lost_webhook | an event (its type is matched as the path) is never delivered |
| duplicate_webhook | an event is delivered twice |
"""

from __future__ import annotations

import random
import re
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from daemon.local_board.errors import ApiError, rate_limited, validation

KINDS = ("delay", "error", "cut", "stale_query", "rename_property", "lost_webhook", "duplicate_webhook")
HTML = "<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>cloudflare</body></html>"

_CODES = {
    400: ("validation_error", "Something is wrong with the request."),
    401: ("unauthorized", "API token is invalid."),
    403: ("restricted_resource", "Insufficient permissions for this endpoint."),
    404: ("object_not_found", "Could not find the object."),
    409: ("conflict_error", "Conflict occurred while saving. Please try again."),
    500: ("internal_server_error", "Unexpected error occurred."),
    502: ("bad_gateway", "Bad gateway."),
    503: ("service_unavailable", "Public API service is temporarily unavailable, please try again later."),
    504: ("gateway_timeout", "The request timed out."),
    529: ("service_overload", "The service is overloaded. Please try again later."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """One rule.  delay and retry_after are seconds; count None is without end; probability is 0 to 1."""

    kind: str
    method: str = ".*"
    path: str = ".*"
    count: int | None = 1
    probability: float = 1.0
    seed: int = 0
    when: str = "before"
    delay: float = 0.0
    status: int = 500
    code: str | None = None
    message: str | None = None
    retry_after: int | None = None
    html: bool = False
    additional: dict[str, Any] | None = None
    data_source: str = ""
    property: str = ""
    to: str = ""

    def error(self) -> ApiError:
        """The refusal that an "error" rule answers."""
        if self.status == 429 and self.code is None:
            return rate_limited(self.retry_after if self.retry_after is not None else 1)
        code, message = _CODES.get(self.status, ("internal_server_error", "Unexpected error occurred."))
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return ApiError(
            self.status,
            self.code or code,
            self.message or message,
            additional=self.additional,
            headers=headers,
        )


def read_rule(given: Mapping[str, Any]) -> FaultRule:
    """A rule from JSON; 400 for unknown members, kinds and patterns."""
    known = {item.name for item in fields(FaultRule)}
    strange = [name for name in given if name not in known]
    if strange:
        raise validation(f"Unknown members of a fault rule: {', '.join(strange)}.")
    if given.get("kind") not in KINDS:
        raise validation(f"kind should be one of {', '.join(KINDS)}.")
    if given.get("when", "before") not in ("before", "after"):
        raise validation("when should be before or after.")
    rule = FaultRule(**given)
    for pattern in (rule.method, rule.path):
        try:
            re.compile(pattern)
        except re.error as error:
            raise validation(f"Not a regular expression: {pattern} ({error}).") from None
    return rule


@dataclass(slots=True)
class _Active:
    identifier: int
    rule: FaultRule
    random: random.Random
    hits: int = 0
    snapshot: sqlite3.Connection | None = field(default=None, repr=False)


class Faults:
    """The rules of one board.  Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[_Active] = []
        self._next = 1

    def add(self, rule: FaultRule, snapshot: sqlite3.Connection | None = None) -> int:
        """Adds a rule and returns its number.  snapshot: the old state that a stale_query rule
        answers from.
        """
        with self._lock:
            chance = random.Random(rule.seed)  # noqa: S311  # decides when something fails; nothing secret
            active = _Active(self._next, rule, chance, snapshot=snapshot)
            self._next += 1
            self._active.append(active)
            return active.identifier

    def remove(self, identifier: int | None = None) -> int:
        """Removes one rule, or all; returns how many went."""
        with self._lock:
            going = [item for item in self._active if identifier in (None, item.identifier)]
            self._active = [item for item in self._active if item not in going]
        for item in going:
            if item.snapshot is not None:
                item.snapshot.close()
        return len(going)

    def describe(self) -> list[dict[str, Any]]:
        """Every rule with how often it hit."""
        with self._lock:
            return [
                {
                    "id": item.identifier,
                    "hits": item.hits,
                    **{each.name: getattr(item.rule, each.name) for each in fields(FaultRule)},
                }
                for item in self._active
            ]

    def take(self, kind: str, method: str, path: str, when: str | None = None) -> FaultRule | None:
        """The first rule of a kind that hits this request, used up by one; None when nothing is to go
        wrong.
        """
        found = self._take(kind, method, path, when)
        return None if found is None else found.rule

    def snapshot(self, method: str, path: str) -> sqlite3.Connection | None:
        """The old state that a stale_query rule wants this request answered from."""
        found = self._take("stale_query", method, path, None)
        return None if found is None else found.snapshot

    def _take(self, kind: str, method: str, path: str, when: str | None) -> _Active | None:
        # Nearly always there are no rules; then a request pays one comparison.
        if not self._active:
            return None
        with self._lock:
            for item in self._active:
                rule = item.rule
                if rule.kind != kind or (when is not None and rule.when != when):
                    continue
                if rule.count is not None and item.hits >= rule.count:
                    continue
                if not re.fullmatch(rule.method, method) or not re.search(rule.path, path):
                    continue
                if rule.probability < 1.0 and item.random.random() >= rule.probability:
                    continue
                item.hits += 1
                return item
        return None
