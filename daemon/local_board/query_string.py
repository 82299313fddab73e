"""Query strings as the service reads them: by Node's rules for keys, values made into numbers and booleans.

Measured: a repeated key and `key[]` are lists, `key[x]` is an object, and only filter_properties may be a
list.
"""

from __future__ import annotations

import math
import re
from typing import Any
from urllib.parse import parse_qsl

from daemon.local_board.errors import failed, validation
from daemon.local_board.shapes import not_present

LIST_KEY = "filter_properties"
"""The one key that takes several values, also spelt filter_properties[] and filter_properties[0]."""

_BRACKETED = re.compile(r"([^\[]+)\[([^\[\]]*)\]\Z")
_INDEX = re.compile(r"(?:[0-9]|1[0-9]|20)?\Z")
"""What makes a bracket a list's: nothing, or an index up to Node's limit of 20."""

_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z", re.ASCII)
_RADIX = {"0x": 16, "0o": 8, "0b": 2}


def parse(query_string: str, allowed: tuple[str, ...], *, open_ended: bool = False) -> dict[str, list[str]]:
    """Values by key.  400 for what is no single value, then for keys that the endpoint does not know (an
    open-ended one lets them pass).
    """
    out: dict[str, list[str]] = {}
    for raw, value in parse_qsl(query_string, keep_blank_values=True):
        name = _name(raw)
        if name in out and name != LIST_KEY:
            raise _conflict(name)
        out.setdefault(name, []).append(value)
    if not open_ended:
        shown = {name: values if name == LIST_KEY else coerce(values[0]) for name, values in out.items()}
        problems = not_present(shown, allowed, ("query",))
        if problems:
            raise failed("query", [problem.line() for problem in problems])
    return out


def _name(raw: str) -> str:
    match = _BRACKETED.match(raw)
    if match is None:
        return raw
    name, inner = match.groups()
    listed = _INDEX.match(inner) is not None
    if name == LIST_KEY and listed:
        return name
    if name == LIST_KEY:
        raise validation(f'The value of "{name}" in query parameters must be a string or list of strings')
    if listed:
        raise _conflict(name)
    raise validation(f'The value of "{name}" in query parameters must be a string, number, or boolean.')


def _conflict(name: str) -> Exception:
    return validation(f'Conflicting values for "{name}" in query parameters.')


def coerce(text: str) -> Any:
    """A value as the service's validator sees it: true, false, a whole number, or the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    number = _number(text.strip())
    return text if number is None or not math.isfinite(number) or number != int(number) else int(number)


def _number(text: str) -> float | None:
    """JavaScript's Number(); None where that is not a number."""
    if not text:
        return 0
    if _DECIMAL.match(text):
        return float(text)
    base = _RADIX.get(text[:2].lower())
    try:
        return int(text[2:], base) if base and text[2:].isalnum() else None
    except ValueError:
        return None
