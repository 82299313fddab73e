"""Paged lists whose cursor is the plain id of the next item (children, comments, users, search, uploads).

page_size, measured: 0 and anything above 100 mean 100, a negative number is an empty page whose cursor is the
item that it would have begun with; only the comment list refuses what is out of range.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from daemon.local_board import shapes
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.query_string import coerce

_DASHED = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)

PAGE_SIZE = 100
"""Default and largest number of items on a page."""


def envelope(kind: str, results: list[Any], next_cursor: str | None) -> dict[str, Any]:
    """The list object, members in the served order."""
    return {
        "object": "list",
        "results": results,
        "next_cursor": next_cursor,
        "has_more": next_cursor is not None,
        "type": kind,
        kind: {},
    }


def clamp(size: float) -> int:
    """How many items a page_size asks for: 0 and too many mean 100, less than one none (-1)."""
    if size == 0:
        return PAGE_SIZE
    return min(int(size), PAGE_SIZE) if size >= 1 else -1


def dashed_id(value: Any, path: shapes.Path) -> list[shapes.Problem]:
    """A cursor that has to be an id: dashed, in either case (measured)."""
    if not isinstance(value, str):
        return shapes.wrong(path, value, "a string")
    return [] if _DASHED.match(value) else shapes.wrong(path, value, "a valid uuid")


PAGING: dict[str, shapes.Check] = {"start_cursor": dashed_id, "page_size": shapes.number}
"""What most lists read from their query string."""


def paging(
    call: Call, checks: dict[str, shapes.Check] = PAGING, required: tuple[str, ...] = ()
) -> tuple[int, str | None]:
    """(size, cursor) of a list's query string; 400 where a value does not fit.  Read before anything is
    looked up (measured).
    """
    given = {name: coerce(call.query[name][0]) for name in checks if name in call.query}
    shapes.check_part("query", given, shapes.obj(checks, required))
    return clamp(given.get("page_size", 0)), given.get("start_cursor")


def bad_cursor(text: str, additional: dict[str, Any] | None = None) -> Exception:
    """400 for a cursor that means nothing here."""
    return validation(f"The start_cursor provided is invalid: {text}", additional=additional)


def by_id_cursor(
    kind: str,
    ids: list[str],
    render: Callable[[list[str]], list[Any]],
    page: tuple[int, str | None],
    *,
    additional: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One page out of all ids in order.  The cursor is the first id of the page it opens (inclusive).

    page: what `paging` read; additional: what the refusal of a cursor carries.
    """
    size, cursor = page
    start = 0
    if cursor is not None:
        if cursor not in ids:
            raise bad_cursor(cursor, additional)
        start = ids.index(cursor)
    size = max(size, 0)
    following = ids[start + size : start + size + 1]
    return envelope(kind, render(ids[start : start + size]), following[0] if following else None)
