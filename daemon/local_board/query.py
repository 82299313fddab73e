"""POST /v1/data_sources/{id}/query.

query_rows.py finds the rows of a page; the values that are served are read for those only.

Cursors: "s:<session>:<row>" names the first row of the next page; all pages of one query have one
session.  It remembers where that row stood (its sort values), so the next page starts there even when the
row has meanwhile moved, stopped matching or been trashed; rows that move past that place between two pages
are seen twice or not at all, as on the service.
"""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass
from typing import Any

from daemon.local_board import computed, filters, page_view, query_rows, shapes, tree
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.filter_sql import Compiler, Sql, cell_of
from daemon.local_board.listing import PAGE_SIZE, bad_cursor
from daemon.local_board.query_rows import Asked, Sort
from daemon.local_board.schema import COMPUTED_TYPES, TEXT_TYPES, Property, Schema
from daemon.local_board.texts import dumps, loads
from daemon.local_board.times import MINUTE_MS

RESULT_LIMIT = 10_000
"""Rows that one query gives over all its pages (since 2026-04-20)."""

SESSIONS_KEPT = 5_000
"""Cursors whose places are remembered; an older one begins where its row stands now."""

_SESSION_CURSOR = re.compile(r"s:([^:]+):(.+)\Z", re.DOTALL)

_body = shapes.obj(
    {
        "sorts": filters.check_sorts,
        "filter": filters.check_filter,
        "start_cursor": shapes.string(),
        "page_size": shapes.integer(1),
        "archived": shapes.boolean,
        "in_trash": shapes.boolean,
        "is_archived": shapes.boolean,
        "result_type": shapes.enum("page", "data_source"),
    }
)


def run(call: Call) -> dict[str, Any]:
    """The endpoint.  Order of refusals: body, data source, sort property, filter property, cursor,
    filter_properties.
    """
    body = call.body
    shapes.check_body(body, _body)
    source = tree.need_source(call, call.params["data_source_id"])
    schema = call.schema(source["key"])
    sorts, sort_calc = compile_sorts(schema, body.get("sorts") or [])
    compiler = Compiler(call, schema)
    where = compiler.filter(body.get("filter"))
    if compiler.uses_calc or sort_calc:
        computed.register(call)
    start = _start(call, schema, sorts, body.get("start_cursor") or "")
    only = _shown(call, schema)
    size = min(int(body.get("page_size", PAGE_SIZE)), PAGE_SIZE, RESULT_LIMIT - start.delivered)
    wants_trash = next(
        (body[name] for name in ("in_trash", "archived", "is_archived") if name in body), False
    )
    asked = Asked(
        schema=schema, filter=body.get("filter"), sorts=sorts, start=start.at, trash=bool(wants_trash)
    )
    rows = query_rows.rows(call, asked, compiler, where, size + 1)
    if body.get("result_type") == "data_source" or tree.in_trash(call, "data_source_id", source["id"]):
        rows = []
    pages = _pages(call, [row["page"] for row in rows[:size]])
    results = [page_view.page_object(call, page, only=only, trashed=bool(wants_trash)) for page in pages]
    return _answer(call, results, rows, size, start)


def _answer(
    call: Call, results: list[dict[str, Any]], rows: list[sqlite3.Row], size: int, start: Start
) -> dict[str, Any]:
    delivered = start.delivered + len(results)
    more = len(rows) > size
    cursor = _next_cursor(call, rows[size], start, delivered) if more and delivered < RESULT_LIMIT else None
    out: dict[str, Any] = {
        "object": "list",
        "results": results,
        "next_cursor": cursor,
        "has_more": cursor is not None,
        "type": "page_or_data_source",
        "page_or_data_source": {},
    }
    if more and cursor is None:
        out["request_status"] = {"type": "incomplete", "incomplete_reason": "query_result_limit_reached"}
    return out


def compile_sorts(schema: Schema, given: list[dict[str, Any]]) -> tuple[list[Sort], bool]:
    """The terms of the order, and whether one of them has to be computed."""
    out: list[Sort] = []
    uses_calc = False
    for item in given:
        descending = item["direction"] == "descending"
        if "timestamp" in item:
            column = "created" if item["timestamp"] == "created_time" else "edited"
            out.append(Sort(sql=_minute(column), descending=descending))
            continue
        prop = schema.find(item["property"])
        if prop is None:
            raise validation(f"Could not find sort property with name or id: {item['property']}")
        uses_calc = uses_calc or prop.type in COMPUTED_TYPES
        out.extend(Sort(sql=sql, descending=descending) for sql in _sort_columns(prop))
    return out, uses_calc


def _minute(column: str) -> str:
    """Created and edited times sort as they are shown, by the minute; rows of one minute come newest first in
    both directions (recorded: three rows of one minute, ascending, twice).
    """
    return f"r.{column} / {MINUTE_MS}"


def _sort_columns(prop: Property) -> list[str]:
    cell = cell_of(prop, "r")
    if prop.type in COMPUTED_TYPES:
        return [cell.of("sort")]
    if prop.type == "created_time":
        return [_minute("created")]
    if prop.type == "last_edited_time":
        return [_minute("edited")]
    if prop.type == "date":
        return [cell.of("a"), cell.of("z")]
    if prop.type in TEXT_TYPES or prop.type == "multi_select":
        return [cell.of("k")]
    if prop.type in ("select", "status"):
        return [cell.of("o")]
    if prop.type in ("people", "relation", "files", "created_by", "last_edited_by"):
        return [cell.of("s")]
    return [cell.of("n")]


def at_or_behind(sorts: list[Sort], values: list[Any], page: int) -> Sql:
    """The condition "at this place of the order or behind it", for a place given by its sort values."""
    condition = Sql("r.page <= ?", [page])
    for sort, value in reversed(list(zip(sorts, values, strict=True))):
        same = f"{sort.sql} IS ? AND ({condition.text})"
        if value is None:
            condition = Sql(same, [None, *condition.params])
            continue
        sign = "<" if sort.descending else ">"
        further = f"{sort.sql} {sign} ? OR {sort.sql} IS NULL"
        condition = Sql(f"({further}) OR ({same})", [value, value, *condition.params])
    return condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a page begins (None: at the first row), how many rows earlier pages gave, and the session that
    its own cursor goes on with (None: by bare row ids).
    """

    at: Sql | None
    delivered: int
    session: str | None


def _start(call: Call, schema: Schema, sorts: list[Sort], cursor: str) -> Start:
    """What a cursor means.  An empty one is the first page.

    Measured: a session that was handed out refuses what is no row of this data source by that name, any
    session takes a row, and a bare row id is a cursor too, whose next one is bare as well.  Ours: a session
    that never was with what is no row is refused, where the service begins again at the first page.
    """
    shaped = _SESSION_CURSOR.match(cursor)
    if not cursor:
        return Start(at=None, delivered=0, session=call.board.ids.uuid4())
    if shaped is None:
        place = _standing(call, schema, sorts, cursor)
        if place is None:
            raise bad_cursor(cursor)
        return Start(at=place, delivered=0, session=None)
    session, named = shaped.groups()
    kept = call.db.execute("SELECT * FROM session WHERE id = ?", (cursor,)).fetchone()
    if kept is not None:
        state = loads(kept["state"])
        if len(state["keys"]) == len(sorts):
            at = at_or_behind(sorts, state["keys"], state["page"])
            return Start(at=at, delivered=kept["delivered"], session=session)
    place = _standing(call, schema, sorts, named)
    if place is None:
        raise bad_cursor(named if _was_handed_out(call, session) else cursor)
    return Start(at=place, delivered=0, session=session)


def _was_handed_out(call: Call, session: str) -> bool:
    sql = "SELECT 1 FROM session WHERE id > ? AND id < ? LIMIT 1"
    return call.db.execute(sql, (f"s:{session}:", f"s:{session};")).fetchone() is not None


def _standing(call: Call, schema: Schema, sorts: list[Sort], row_id: str) -> Sql | None:
    """The place where a row stands now; None for what is no row of this data source."""
    row = call.db.execute("SELECT key FROM page WHERE id = ? AND source = ?", (row_id, schema.key)).fetchone()
    if row is None:
        return None
    columns = ", ".join(["r.page", *(sort.sql for sort in sorts)])
    values = call.db.execute(
        f"SELECT {columns} FROM {schema.table} r WHERE r.page = ?", (row["key"],)
    ).fetchone()
    return at_or_behind(sorts, list(values)[1:], row["key"])


def _next_cursor(call: Call, row: sqlite3.Row, start: Start, delivered: int) -> str:
    """Names the first row of the next page and, in a session, remembers where it stands.

    Queries read from a snapshot, so the session is written in a transaction of its own.
    """
    page: str = call.db.execute("SELECT id FROM page WHERE key = ?", (row["page"],)).fetchone()["id"]
    if start.session is None:
        return page
    cursor = f"s:{start.session}:{page}"
    state = dumps({"page": row["page"], "keys": list(row)[1:]})
    call.later(
        "INSERT OR REPLACE INTO session(id, created, delivered, state) VALUES (?, ?, ?, ?)",
        (cursor, call.now, delivered, state),
    )
    if call.board.ids.uuid4().startswith("00"):
        # One page in 256 sweeps; counting on every query would cost more than the rows are worth.
        call.later(
            "DELETE FROM session WHERE id IN"
            " (SELECT id FROM session ORDER BY created DESC LIMIT -1 OFFSET ?)",
            (SESSIONS_KEPT,),
        )
    return cursor


def _pages(call: Call, keys: list[int]) -> list[sqlite3.Row]:
    """The pages with these keys, in this order."""
    sql = "SELECT p.* FROM json_each(?) j JOIN page p ON p.key = j.value ORDER BY j.key"
    return call.db.execute(sql, (json.dumps(keys),)).fetchall()


def _shown(call: Call, schema: Schema) -> set[str] | None:
    """filter_properties: numbers of the properties to show."""
    names = call.query.get("filter_properties")
    if not names:
        return None
    out = set()
    for name in names:
        prop = schema.find(name)
        if prop is None and name == "":
            continue  # an empty name is no property's and shows none (measured)
        if prop is None:
            raise validation(
                f"The schema for the data source with the following ID is malformed: {schema.id}."
                f" The provided `filter_properties` contains an invalid attribute: {name}."
            )
        out.add(str(prop.number))
    return out
