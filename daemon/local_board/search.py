"""POST /v1/search: pages and data sources whose title holds any of the words, last edited first.

The service's index lags by minutes; this one does not.
"""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Any

from daemon.local_board import data_sources, page_view, pages, shapes, tree
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.listing import PAGE_SIZE, bad_cursor, clamp, dashed_id, envelope

_direction = shapes.enum("ascending", "descending")
_sort = shapes.any_of(
    shapes.obj({"timestamp": shapes.enum("last_edited_time"), "direction": _direction}, ("timestamp",)),
    shapes.obj({"property": shapes.enum("relevance")}, ("property",)),
    shapes.obj({"property": shapes.string(), "timestamp": shapes.string(), "direction": _direction}),
)
_filter = shapes.any_of(
    shapes.obj(
        {
            "property": shapes.enum("object"),
            "value": shapes.enum("page", "data_source"),
            "in_trash": shapes.boolean,
        },
        ("property", "value"),
    ),
    shapes.obj({"in_trash": shapes.boolean}, ("in_trash",)),
)
_body = shapes.obj(
    {
        "sort": _sort,
        "query": shapes.string(),
        "start_cursor": dashed_id,
        "page_size": shapes.number,
        "filter": _filter,
    }
)
_SOURCES = {
    "page": "SELECT 'page' AS kind, id, edited, title FROM page",
    "data_source": "SELECT 'data_source' AS kind, id, edited, title_plain AS title FROM data_source",
}
_WORDS = re.compile(r"\w+")
_WHOLE = 3
"""Words shorter than this have to be whole; longer ones may be the beginning of a title's word."""


def _check_sort(sort: dict[str, Any]) -> None:
    """What is refused of a sort that its schema lets through, in the service's words (measured)."""
    if not sort:
        raise validation(
            'body.sort should specify either `{ "property": "relevance" }` or'
            ' `{ "timestamp": "last_edited_time", "direction": "ascending" | "descending" }`.'
        )
    if "property" in sort:
        if sort["property"] != "relevance":
            raise validation(f'body.sort.property should be "relevance", instead was `{sort["property"]}`.')
        if "timestamp" in sort or "direction" in sort:
            raise validation(
                'body.sort with `{ "property": "relevance" }` cannot include `timestamp` or `direction`.'
            )
        return
    if sort.get("timestamp") != "last_edited_time":
        raise validation('body.sort.timestamp should be "last_edited_time" when sorting by timestamp.')
    if "direction" not in sort:
        raise validation(
            'body.sort.direction should be defined when body.sort.timestamp is "last_edited_time".'
        )


def search(call: Call) -> dict[str, Any]:
    """The endpoint."""
    body = call.body
    shapes.check_body(body, _body)
    if "sort" in body:
        _check_sort(body["sort"])
    wanted = body.get("filter") or {}
    size = max(clamp(body.get("page_size", PAGE_SIZE)), 0)
    rising = (body.get("sort") or {}).get("direction") == "ascending"
    found = " UNION ALL ".join(sql for kind, sql in _SOURCES.items() if wanted.get("value", kind) == kind)
    where, params = _may_match(body.get("query", ""))
    if "start_cursor" in body:
        row = call.db.execute(f"SELECT edited, id FROM ({found}) WHERE id = ?", (body["start_cursor"],))
        first = row.fetchone()
        if first is None:
            raise bad_cursor(body["start_cursor"])
        where += f" AND (edited, id) {'>=' if rising else '<='} (?, ?)"
        params += [first["edited"], first["id"]]
    direction = "ASC" if rising else "DESC"
    rows = call.db.execute(
        f"SELECT kind, id, title FROM ({found}) WHERE {where} ORDER BY edited {direction}, id {direction}",
        tuple(params),
    )
    hits = _hits(call, rows, body.get("query", ""), trashed=wanted.get("in_trash", False))
    shown = list(islice(hits, size + 1))
    following = shown[size]["id"] if len(shown) > size else None
    return envelope("page_or_data_source", [_view(call, row) for row in shown[:size]], following)


def _may_match(query: str) -> tuple[str, list[Any]]:
    """What SQL can tell of a title: the beginning that a word and its plural share is in it."""
    words = _stems(query)
    if not words or not query.isascii():
        # SQLite's lower() knows ASCII only, so the words are left to be looked at one by one.
        return "1", []
    parts = [word[: -1 if len(word) > _WHOLE else None] for word in words]
    return "(" + " OR ".join(["instr(lower(title), ?) > 0"] * len(parts)) + ")", list(parts)


def _hits(call: Call, rows: sqlite3.Cursor, query: str, *, trashed: bool) -> Iterator[sqlite3.Row]:
    """The rows that match, read no further than somebody asks."""
    words = _stems(query)
    for row in rows:
        if query.strip() and not _matches(words, row["title"]):
            continue
        if tree.in_trash(call, f"{row['kind']}_id", row["id"]) == trashed:
            yield row


def _stems(text: str) -> list[str]:
    """Words of a text, plurals and singulars alike (recorded: "Properties" finds "Property")."""
    return [_stem(word) for word in _WORDS.findall(text.lower())]


def _stem(word: str) -> str:
    if len(word) > _WHOLE and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > _WHOLE and word.endswith("s") and not word.endswith("ss") else word


def _matches(words: list[str], title: str) -> bool:
    low = title.lower()
    held = _stems(title)
    for word in words:
        if not word.isascii() and word in low:
            # Scripts without spaces between words have no beginnings to look for.
            return True
        if word in held or (len(word) >= _WHOLE and any(one.startswith(word) for one in held)):
            return True
    return False


def _view(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    if row["kind"] == "page":
        page = tree.need_page(call, row["id"])
        return page_view.page_object(call, page, only=pages.filter_numbers(call, page))
    return data_sources.source_object(call, tree.need_source(call, row["id"]))
