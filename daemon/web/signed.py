"""Notion's webhook deliveries as data: signature, bounded JSON, age, and events seen before. Pure but for the
memory of ids.

The signature covers the raw body and no time, and an event may come again, late, or never: it is a hint to
look at the board, and nothing in it is trusted (research/reliability.md T65–T73).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from daemon.core import ids

OLD = 24 * 3600.0
"""Seconds after which an event is no news: Notion's retries end about then."""
REMEMBER = 48 * 3600.0
SEEN = 20_000
"""Event ids kept at most."""
DEPTH = 40
"""Nesting that an event may have; real ones have five levels."""

_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_TYPE = re.compile(r"[a-z_]{1,40}(\.[a-z_]{1,40}){0,3}")


def genuine(secret: str, body: bytes, headers: Sequence[str]) -> bool:
    """True when exactly one signature header is there and it is the HMAC-SHA256 of ``body``."""
    expected = b"sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
    given = headers[0].encode("latin-1", "replace") if len(headers) == 1 else b""
    return hmac.compare_digest(expected, given)


class NotJson(ValueError):
    """The body is not the plain JSON object that it should be."""


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``. NotJson for everything else: duplicate keys, NaN, deep nesting, huge
    numbers, lone surrogates, NUL."""
    try:
        text = body.decode("utf-8")
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_int=_number)
        if not isinstance(found, dict):
            raise NotJson("not an object")
        _check(found, 0)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)[:200]) from error
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise NotJson("a key comes twice")
    return out


def _refuse(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON")


def _number(text: str) -> int:
    if len(text) > 20:
        raise NotJson("a number is too long")
    return int(text)


def _check(value: Any, depth: int) -> None:
    if depth > DEPTH:
        raise NotJson("nested too deeply")
    if isinstance(value, str):
        value.encode("utf-8")
        if "\0" in value:
            raise NotJson("NUL in a text")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What is kept of an event. ``page``: 32 hex digits or ""; ``at``: epoch seconds or None."""

    id: str
    kind: str
    page: str
    at: float | None

    def old(self, now: float) -> bool:
        """True when it happened too long ago to be news."""
        return self.at is not None and now - self.at > OLD


def delivery(event: dict[str, Any]) -> Delivery:
    """The parts of ``event`` that are kept. NotJson when it has no id or type of the right form."""
    identifier, kind = event.get("id"), event.get("type")
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
        raise NotJson("the event has no id")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise NotJson("the event has no type")
    entity = event.get("entity")
    named = entity.get("id") if isinstance(entity, dict) else None
    return Delivery(id=identifier, kind=kind, page=_page(named), at=_when(event.get("timestamp")))


def _page(named: Any) -> str:
    try:
        return ids.normalise(named) if isinstance(named, str) and len(named) <= 36 else ""
    except ValueError:
        return ""


def _when(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


class Remembered:
    """Ids of events that were kept, for 48 hours."""

    def __init__(self, known: Iterable[tuple[str, float]] = ()) -> None:
        self._ids: OrderedDict[str, float] = OrderedDict(known)

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._ids

    def add(self, identifier: str, now: float) -> None:
        """Remember ``identifier`` from ``now`` on and forget what is old."""
        self._ids[identifier] = now
        while self._ids and (len(self._ids) > SEEN or now - next(iter(self._ids.values())) > REMEMBER):
            self._ids.popitem(last=False)
