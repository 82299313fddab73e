"""Views and view queries: /v1/views, /v1/views/{id}, /v1/views/{id}/queries.

A view query is a frozen list of page ids, as the service makes it: 15 minutes old it is gone.
"""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import sqlite3
from typing import Any

from daemon.local_board import computed, filters, shapes, tree, users
from daemon.local_board.board import Call
from daemon.local_board.errors import MISSING, failed, not_served, quote, validation
from daemon.local_board.filter_sql import Compiler
from daemon.local_board.ids import dashless, parse_id
from daemon.local_board.listing import by_id_cursor, clamp, paging
from daemon.local_board.query import RESULT_LIMIT, compile_sorts
from daemon.local_board.texts import dumps, loads
from daemon.local_board.times import precise

QUERY_LIFE_MS = 15 * 60_000
"""How long the results of a view query can be read (recorded: expires_at is 15 minutes ahead)."""

DEFAULT_NAME = "Default view"
_TYPES = ("table", "board", "list", "calendar", "timeline", "gallery", "form", "chart", "map", "dashboard")
_changes: dict[str, shapes.Check] = {
    "name": shapes.string(),
    "filter": shapes.nullable(filters.check_filter),
    "sorts": shapes.nullable(filters.check_sorts),
    "quick_filters": shapes.nullable(shapes.json_object),
    "configuration": shapes.nullable(shapes.json_object),
}
_create = shapes.obj(
    {
        "data_source_id": shapes.uuid,
        "type": shapes.enum(*_TYPES),
        "database_id": shapes.uuid,
        "view_id": shapes.uuid,
        "create_database": shapes.json_object,
        "position": shapes.json_object,
        "placement": shapes.json_object,
        **_changes,
    },
    ("data_source_id", "name", "type"),
)
_update = shapes.obj(_changes)


def make(call: Call, identifier: str, source_id: str, database_id: str, body: dict[str, Any]) -> None:
    """Inserts a view."""
    configuration = {
        "type": body["type"],
        **{k: v for k, v in (body.get("configuration") or {}).items() if k != "type"},
    }
    texts = [
        dumps(body[name]) if body.get(name) is not None else None
        for name in ("filter", "sorts", "quick_filters")
    ]
    call.db.execute(
        "INSERT INTO view(id, parent_type, parent_id, data_source_id, name, type, filter, sorts,"
        " quick_filters, configuration, position, created, edited, created_by, edited_by)"
        " VALUES (?, 'database_id', ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
        (
            *(identifier, database_id, source_id, body["name"], body["type"], *texts, dumps(configuration)),
            *(call.now, call.now, call.actor, call.actor),
        ),
    )


def create(call: Call) -> dict[str, Any]:
    """POST /v1/views: a view in a database."""
    body = call.body
    shapes.check_body(body, _create)
    if "create_database" in body or "view_id" in body:
        raise not_served("linked views and views inside dashboards")
    source = tree.need_source(call, parse_id(body["data_source_id"]) or "")
    database_id = parse_id(body["database_id"]) if "database_id" in body else source["database_id"]
    database = tree.need_database(call, database_id or "")
    tree.refuse_trashed(call, "database_id", database["id"])
    _compiles(call, source, body)
    identifier = call.board.ids.ordered(call.now, "000c")
    make(call, identifier, source["id"], database["id"], body)
    call.event("view.created", "view", identifier, {"parent": {"id": database["id"], "type": "database"}})
    return view_object(call, _need(call, identifier))


def _compiles(call: Call, source: sqlite3.Row, body: dict[str, Any]) -> None:
    """Refuses filters and sorts that the data source cannot answer."""
    schema = call.schema(source["key"])
    compile_sorts(schema, body.get("sorts") or [])
    Compiler(call, schema).filter(body.get("filter"))


def _need(call: Call, identifier: str) -> sqlite3.Row:
    row: sqlite3.Row | None = call.db.execute("SELECT * FROM view WHERE id = ?", (identifier,)).fetchone()
    if row is None:
        raise call.not_found("view", identifier)
    return row


def view_object(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    """A view; like a database it shows milliseconds."""
    return {
        "object": "view",
        "id": row["id"],
        "parent": tree.parent_object(row["parent_type"], row["parent_id"]),
        "data_source_id": row["data_source_id"],
        "name": row["name"],
        "type": row["type"],
        "created_time": precise(row["created"]),
        "created_by": users.partial(row["created_by"]),
        "last_edited_time": precise(row["edited"]),
        "last_edited_by": users.partial(row["edited_by"]),
        "url": f"https://app.notion.com/p/{dashless(row['parent_id'])}?v={dashless(row['id'])}",
        "filter": loads(row["filter"]),
        "sorts": loads(row["sorts"]),
        "quick_filters": loads(row["quick_filters"]),
        "configuration": loads(row["configuration"]),
    }


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/views/{id}."""
    return view_object(call, _need(call, call.params["view_id"]))


def update(call: Call) -> dict[str, Any]:
    """PATCH /v1/views/{id}."""
    body = call.body
    shapes.check_body(body, _update)
    row = _need(call, call.params["view_id"])
    _compiles(call, tree.need_source(call, row["data_source_id"]), body)
    changes: dict[str, Any] = {"edited": call.now, "edited_by": call.actor}
    if "name" in body:
        changes["name"] = body["name"]
    for name in ("filter", "sorts", "quick_filters"):
        if name in body:
            changes[name] = None if body[name] is None else dumps(body[name])
    if body.get("configuration"):
        changes["configuration"] = dumps({"type": row["type"], **body["configuration"]})
    assignments = ", ".join(f"{name} = ?" for name in changes)
    call.db.execute(f"UPDATE view SET {assignments} WHERE key = ?", (*changes.values(), row["key"]))
    call.event("view.updated", "view", row["id"], {})
    return view_object(call, _need(call, row["id"]))


def delete(call: Call) -> dict[str, Any]:
    """DELETE /v1/views/{id}: answers a partial view.  The last view of a database stays."""
    row = _need(call, call.params["view_id"])
    left = call.db.execute(
        "SELECT count(*) AS n FROM view WHERE parent_id = ?", (row["parent_id"],)
    ).fetchone()["n"]
    if left == 1:
        raise validation("Cannot delete the last view of a database.")
    call.db.execute("DELETE FROM view WHERE key = ?", (row["key"],))
    call.event("view.deleted", "view", row["id"], {})
    parent = tree.parent_object(row["parent_type"], row["parent_id"])
    return {"object": "view", "id": row["id"], "parent": parent, "type": row["type"]}


def list_views(call: Call) -> dict[str, Any]:
    """GET /v1/views?database_id= or data_source_id=: partial views."""
    page = paging(call)
    columns = {"database_id": "parent_id", "data_source_id": "data_source_id"}
    given = [(name, call.query[name][0]) for name in columns if name in call.query]
    if not given:
        lines = [f"query.{name} should be defined, instead was {quote(MISSING)}." for name in columns]
        raise failed("query", lines)
    name, text = given[0]
    identifier = parse_id(text)
    if identifier is None:
        raise failed("query", [f"query.{name} should be a valid uuid, instead was {quote(text)}."])
    (tree.need_database if name == "database_id" else tree.need_source)(call, identifier)
    rows = call.db.execute(
        f"SELECT id FROM view WHERE {columns[name]} = ? ORDER BY key", (identifier,)
    ).fetchall()
    ids = [row["id"] for row in rows]
    return by_id_cursor("view", ids, lambda some: [{"object": "view", "id": item} for item in some], page)


def create_query(call: Call) -> dict[str, Any]:
    """POST /v1/views/{id}/queries: runs the view's filter and sorts and keeps the list of pages."""
    shapes.check_body(call.body, shapes.obj({"page_size": shapes.integer()}))
    view = _need(call, call.params["view_id"])
    source = tree.need_source(call, view["data_source_id"])
    schema = call.schema(source["key"])
    sorts, sort_calc = compile_sorts(schema, loads(view["sorts"]) or [])
    compiler = Compiler(call, schema)
    where = compiler.filter(loads(view["filter"]))
    if sort_calc or compiler.uses_calc:
        computed.register(call)
    order = ", ".join([*(sort.term for sort in sorts), "r.page DESC"])
    rows = call.db.execute(
        f"SELECT p.id FROM {schema.table} r JOIN page p ON p.key = r.page WHERE r.trash = 0"
        f" AND ({where.text}) ORDER BY {order} LIMIT {RESULT_LIMIT}",
        tuple(where.params),
    ).fetchall()
    ids = [row["id"] for row in rows]
    identifier, expires = call.board.ids.uuid4(), call.now + QUERY_LIFE_MS
    call.db.execute("DELETE FROM view_query WHERE expires <= ?", (call.now,))
    call.db.execute(
        "INSERT INTO view_query VALUES (?, ?, ?, ?)", (identifier, view["id"], expires, dumps(ids))
    )
    size = max(clamp(call.body.get("page_size", 0)), 0)
    following = ids[size] if len(ids) > size else None
    return {
        "object": "view_query",
        "id": identifier,
        "view_id": view["id"],
        "expires_at": precise(expires),
        "total_count": len(ids),
        "results": _partial(ids[:size]),
        "next_cursor": following,
        "has_more": following is not None,
    }


def _partial(ids: list[str]) -> list[dict[str, Any]]:
    return [{"object": "page", "id": identifier} for identifier in ids]


def _need_query(call: Call) -> sqlite3.Row:
    _need(call, call.params["view_id"])
    row: sqlite3.Row | None = call.db.execute(
        "SELECT * FROM view_query WHERE id = ? AND view_id = ? AND expires > ?",
        (call.params["query_id"], call.params["view_id"], call.now),
    ).fetchone()
    if row is None:
        raise call.not_found("view query", call.params["query_id"])
    return row


def query_results(call: Call) -> dict[str, Any]:
    """GET /v1/views/{id}/queries/{id}: a page of the kept list."""
    page = paging(call)
    return by_id_cursor("page", loads(_need_query(call)["pages"]), _partial, page)


def delete_query(call: Call) -> dict[str, Any]:
    """DELETE /v1/views/{id}/queries/{id}."""
    row = _need_query(call)
    call.db.execute("DELETE FROM view_query WHERE id = ?", (row["id"],))
    return {"object": "view_query", "id": row["id"], "deleted": True}
