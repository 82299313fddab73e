"""POST /v1/databases, GET and PATCH /v1/databases/{id}."""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import sqlite3
from typing import Any

from daemon.local_board import (
    block_store,
    data_sources,
    files,
    page_write,
    pages,
    property_config,
    richtext,
    shapes,
    tree,
    views,
)
from daemon.local_board.board import Call
from daemon.local_board.errors import archived_edit, not_served
from daemon.local_board.ids import dashless, parse_id
from daemon.local_board.texts import UNTITLED_DATABASE, dumps, loads
from daemon.local_board.times import precise

_initial = shapes.obj({"properties": property_config.check_new})
_parent = shapes.union({"page_id": shapes.uuid, "workspace": shapes.enum(True), "block_id": shapes.uuid})
_members: dict[str, shapes.Check] = {
    "title": richtext.check,
    "description": richtext.check,
    # No null: a database's looks can be replaced and not be taken away (measured).
    "icon": files.check_icon,
    "cover": files.check_cover,
    "is_inline": shapes.boolean,
}
_create = shapes.obj({"parent": _parent, "initial_data_source": _initial, **_members}, ("parent",))
_update = shapes.obj(
    {
        "parent": _parent,
        **_members,
        "in_trash": shapes.boolean,
        "archived": shapes.boolean,
        "is_locked": shapes.boolean,
    }
)


def create(call: Call) -> dict[str, Any]:
    """POST /v1/databases: the container with its first data source."""
    body = call.body
    shapes.check_body(body, _create)
    kind = next(name for name in ("page_id", "block_id", "workspace") if name in body["parent"])
    if kind == "workspace":
        raise not_served("databases directly in the workspace")
    parent_id = parse_id(body["parent"][kind]) or ""
    if kind == "page_id":
        tree.need_page(call, parent_id)
    elif tree.block_row(call, parent_id) is None:
        raise call.not_found("block", parent_id)
    tree.refuse_trashed(call, kind, parent_id)
    identifier = call.board.ids.uuid4()
    title = richtext.normalise(body.get("title") or [])
    description = richtext.normalise(body.get("description") or [])
    icon, cover = (_decoration(call, body.get(name)) for name in ("icon", "cover"))
    call.db.execute(
        "INSERT INTO database(id, parent_type, parent_id, title, description, icon, cover, is_inline,"
        " created, edited, created_by, edited_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(identifier, kind, parent_id, dumps(title), dumps(description), icon, cover),
            *(int(body.get("is_inline", False)), call.now, call.now, call.actor, call.actor),
        ),
    )
    block_store.insert_child_marker(call, identifier, "child_database", kind, parent_id, None)
    given = (body.get("initial_data_source") or {}).get("properties") or {}
    source_id = data_sources.make(call, identifier, title, description, icon, given, first=True)
    # Every database has a table view from the start; its id is random, later ones are time-ordered
    # (recorded).
    views.make(
        call, call.board.ids.uuid4(), source_id, identifier, {"name": views.DEFAULT_NAME, "type": "table"}
    )
    where = {"parent": {"id": parent_id, "type": kind.removesuffix("_id")}}
    call.event("database.created", "database", identifier, where)
    return database_object(call, tree.need_database(call, identifier))


def _decoration(call: Call, value: dict[str, Any] | None) -> str | None:
    stored = files.stored(value)
    return dumps(page_write.attach_upload(call, stored)) if stored else None


def database_object(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    """A database; its times are shown to the millisecond, unlike those of other objects."""
    trashed = tree.in_trash(call, "database_id", row["id"])
    sources = call.db.execute(
        "SELECT id, title_plain FROM data_source WHERE database_id = ? AND in_trash = 0 ORDER BY joined, key",
        (row["id"],),
    ).fetchall()
    out: dict[str, Any] = {
        "object": "database",
        "id": row["id"],
        "title": loads(row["title"]) or [richtext.text_item(UNTITLED_DATABASE)],
        "description": loads(row["description"]),
        "parent": tree.parent_object(row["parent_type"], row["parent_id"]),
        "is_inline": bool(row["is_inline"]),
        "in_trash": trashed,
        "is_locked": bool(row["is_locked"]),
        "created_time": precise(row["created"]),
        "last_edited_time": precise(row["edited"]),
        "data_sources": [
            {"id": source["id"], "name": source["title_plain"] or UNTITLED_DATABASE} for source in sources
        ],
        "icon": files.served(loads(row["icon"]), call.base_url, call.now),
        "cover": files.served(loads(row["cover"]), call.base_url, call.now),
        "url": database_url(row["id"]),
        "public_url": None,
    }
    if call.shows_archived:
        out["archived"] = trashed
    return out


def database_url(identifier: str) -> str:
    """Databases have no words in their URL."""
    return "https://app.notion.com/p/" + dashless(identifier)


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/databases/{id}."""
    return database_object(call, tree.need_database(call, call.params["database_id"]))


def update(call: Call) -> dict[str, Any]:
    """PATCH /v1/databases/{id}: title, looks, place, lock, trash.  The only data source follows in title and
    description (recorded).
    """
    body = call.body
    shapes.check_body(body, _update)
    row = tree.need_database(call, call.params["database_id"])
    trash = body.get("in_trash", body.get("archived"))
    if tree.in_trash(call, "database_id", row["id"]) and not (trash is False and row["in_trash"]):
        raise archived_edit()
    changes: dict[str, Any] = {"edited": call.now, "edited_by": call.actor}
    for name in ("title", "description"):
        if name in body:
            changes[name] = dumps(richtext.normalise(body[name]))
    for name in ("icon", "cover"):
        if name in body:
            changes[name] = _decoration(call, body[name])
    for name in ("is_inline", "is_locked"):
        if name in body:
            changes[name] = int(body[name])
    if "parent" in body:
        changes.update(_moved(call, row, body["parent"]))
    if trash is not None:
        changes["in_trash"] = int(trash)
        call.db.execute("UPDATE block SET in_trash = ? WHERE id = ?", (int(trash), row["id"]))
        call.event("database.deleted" if trash else "database.undeleted", "database", row["id"], {})
    assignments = ", ".join(f"{name} = ?" for name in changes)
    call.db.execute(f"UPDATE database SET {assignments} WHERE id = ?", (*changes.values(), row["id"]))
    for name in ("title", "description"):
        if name in body:
            _follow(call, row, name, richtext.normalise(body[name]))
    if trash is None:
        call.event("database.content_updated", "database", row["id"], {})
    return database_object(call, tree.need_database(call, row["id"]))


def _moved(call: Call, row: sqlite3.Row, parent: dict[str, Any]) -> dict[str, Any]:
    kind, parent_id, _ = pages.parent_of_write(call, parent)
    if parent_id is None:
        raise not_served("moving a database to the workspace")
    call.db.execute("DELETE FROM block WHERE id = ?", (row["id"],))
    block_store.insert_child_marker(call, row["id"], "child_database", kind, parent_id, None)
    call.event(
        "database.moved",
        "database",
        row["id"],
        {"parent": {"id": parent_id, "type": kind.removesuffix("_id")}},
    )
    return {"parent_type": kind, "parent_id": parent_id}


def _follow(call: Call, row: sqlite3.Row, name: str, text: list[dict[str, Any]]) -> None:
    """A database with one data source and that data source show one title and one description."""
    sources = call.db.execute("SELECT key FROM data_source WHERE database_id = ?", (row["id"],)).fetchall()
    if len(sources) != 1:
        return
    changes = {name: dumps(text)}
    if name == "title":
        changes["title_plain"] = richtext.plain(text)
    assignments = ", ".join(f"{column} = ?" for column in changes)
    call.db.execute(
        f"UPDATE data_source SET {assignments} WHERE key = ?", (*changes.values(), sources[0]["key"])
    )
