"""All rows of a query: every page of it, each row once. An error is never a short list (incidents AT-2,
AT-3)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from daemon.board.answers import Refused
from daemon.board.transport import Transport
from daemon.core.errors import PermanentError, TransientError

PAGE_SIZE = 100
"""The most that the API gives at once."""

MAX_RESULTS = 10_000
"""Where the API cuts a query (since 2026-04-20), with ``request_status: incomplete``."""

OLDEST_FIRST = ({"timestamp": "created_time", "direction": "ascending"},)

RESTARTS = 3
"""A cursor that became invalid starts the reading anew, this often."""

Row = dict[str, Any]


def rows(
    transport: Transport,
    data_source: str,
    *,
    purpose: str,
    where: Mapping[str, Any] | None,
    sorts: Sequence[Mapping[str, Any]],
    columns: Sequence[str] = (),
) -> list[Row]:
    """Pages that match ``where`` in the order of ``sorts``, each once and as it was last seen; trashed ones
    left out. ``columns``: property ids to answer with (none = all). For ``sorts`` see ``walk``.
    """
    found: dict[str, Row] = {}
    for row in _read(transport, data_source, purpose, where, sorts, columns):
        found[str(row["id"])] = row
    return list(found.values())


def walk(
    transport: Transport,
    data_source: str,
    *,
    purpose: str,
    where: Mapping[str, Any] | None,
    columns: Sequence[str] = (),
    sorts: Sequence[Mapping[str, Any]] = OLDEST_FIRST,
) -> Iterator[Row]:
    """The same, read only as far as the caller goes.

    ``sorts`` must begin with ``created_time``: beyond the API's cap of 10,000 rows the query goes on in
    windows of creation time.
    """
    seen: set[str] = set()
    for row in _read(transport, data_source, purpose, where, sorts, columns):
        if str(row["id"]) not in seen:
            seen.add(str(row["id"]))
            yield row


def _read(
    transport: Transport,
    data_source: str,
    purpose: str,
    where: Mapping[str, Any] | None,
    sorts: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
) -> Iterator[Row]:
    """All rows; some come more than once."""
    if sorts[0].get("timestamp") != "created_time":
        raise ValueError("a query is read by creation time")
    side = "on_or_after" if sorts[0]["direction"] == "ascending" else "on_or_before"
    edge = ""
    while True:
        window = {"timestamp": "created_time", "created_time": {side: edge}} if edge else None
        body = {"page_size": PAGE_SIZE, "sorts": [dict(s) for s in sorts]}
        if narrowed := _both(where, window):
            body["filter"] = narrowed
        last = yield from _window(transport, data_source, purpose, body, columns)
        if last is None:
            return
        if not last or last == edge:
            raise PermanentError(
                f"over {MAX_RESULTS} rows were made in one minute: the API gives no way to read them all",
                hint="archive some",
            )
        edge = last


def _window(
    transport: Transport, data_source: str, purpose: str, body: Row, columns: Sequence[str]
) -> Generator[Row, None, str | None]:
    """One query to its end; returns None when that was all, else the creation time of the last row given."""
    cursor, restarts, last = "", 0, ""
    cursors: set[str] = set()
    while True:
        try:
            answer = transport.call(
                purpose,
                "POST",
                f"data_sources/{data_source}/query",
                query={"filter_properties": [unquote(c) for c in columns]} if columns else None,
                body={**body, "start_cursor": cursor} if cursor else body,
                write=False,
            )
        except Refused as error:
            if not cursor or "start_cursor" not in error.api_message or restarts >= RESTARTS:
                raise
            cursor, restarts = "", restarts + 1
            cursors.clear()
            continue
        for row in _results(answer):
            last = str(row.get("created_time", ""))
            yield row
        if not answer.get("has_more"):
            incomplete = (answer.get("request_status") or {}).get("type") == "incomplete"
            return last if incomplete else None
        cursor = str(answer.get("next_cursor") or "")
        if not cursor or cursor in cursors:
            raise TransientError("the board's answer says there is more, and gives no way on")
        cursors.add(cursor)


def _results(answer: Row) -> list[Row]:
    results = answer.get("results")
    if answer.get("object") != "list" or not isinstance(results, list):
        raise TransientError("the board's answer to a query is not a list")
    whole = [r for r in results if isinstance(r, dict) and "id" in r]
    if len(whole) != len(results):
        raise TransientError("the board's answer to a query has rows without an id")
    return [r for r in whole if r.get("object") == "page" and not r.get("in_trash")]


def items(transport: Transport, purpose: str, path: str, **query: Any) -> Iterator[Row]:
    """All items of a list that is read with GET: children, comments, items of a property."""
    cursor = ""
    cursors: set[str] = set()
    while True:
        more = {"start_cursor": cursor} if cursor else {}
        answer = transport.call(purpose, "GET", path, query={"page_size": PAGE_SIZE, **query, **more})
        results = answer.get("results")
        if answer.get("object") != "list" or not isinstance(results, list):
            raise TransientError(f"the board's answer to GET /v1/{path} is not a list")
        yield from (item for item in results if isinstance(item, dict))
        if not answer.get("has_more"):
            return
        cursor = str(answer.get("next_cursor") or "")
        if not cursor or cursor in cursors:
            raise TransientError("the board's answer says there is more, and gives no way on")
        cursors.add(cursor)


def _both(where: Mapping[str, Any] | None, window: Row | None) -> Row | None:
    if window is None:
        return dict(where) if where else None
    return {"and": [dict(where), window]} if where else window
