"""POST /v1/data_sources, GET and PATCH /v1/data_sources/{id}, GET /v1/data_sources/{id}/templates."""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from daemon.local_board import files, page_write, property_config, richtext, schema_edit, shapes, tree, users
from daemon.local_board.board import Call
from daemon.local_board.errors import archived_edit, validation
from daemon.local_board.ids import parse_id
from daemon.local_board.schema import Schema
from daemon.local_board.texts import dumps, loads
from daemon.local_board.times import minute

_parent = shapes.obj({"type": shapes.enum("database_id"), "database_id": shapes.uuid}, ("database_id",))
_looks: dict[str, shapes.Check] = {
    "title": richtext.check,
    "description": richtext.check,
    "icon": shapes.nullable(files.check_icon),
    "cover": shapes.nullable(files.check_cover),
}
_create = shapes.obj(
    {"parent": _parent, "properties": property_config.check_new, **_looks},
    ("parent", "properties"),
)
_update = shapes.obj(
    {
        "properties": property_config.check_change,
        **_looks,
        "parent": _parent,
        "in_trash": shapes.boolean,
        "archived": shapes.boolean,
        "is_archived": shapes.boolean,
    }
)


def make(
    call: Call,
    database_id: str,
    title: list[dict[str, Any]],
    description: list[dict[str, Any]],
    icon: str | None,
    properties: Mapping[str, Any],
    *,
    first: bool,
) -> str:
    """Inserts a data source and returns its id: random for a database's first one, time-ordered later
    (recorded).
    """
    identifier = call.board.ids.uuid4() if first else call.board.ids.ordered(call.now, "000b")
    cursor = call.db.execute(
        "INSERT INTO data_source(id, database_id, title, title_plain, description, icon, properties, joined,"
        " created, edited, created_by, edited_by) VALUES (?, ?, ?, ?, ?, ?, '[]', ?, ?, ?, ?, ?)",
        (
            *(identifier, database_id, dumps(title), richtext.plain(title), dumps(description), icon),
            *(call.now, call.now, call.now, call.actor, call.actor),
        ),
    )
    key = cursor.lastrowid or 0
    empty = Schema(key=key, id=identifier, database_id=database_id, version=1, properties=())
    schema_edit.initial(call, empty, properties)
    where = {"parent": {"id": database_id, "type": "database"}}
    call.event("data_source.created", "data_source", identifier, where)
    return identifier


def create(call: Call) -> dict[str, Any]:
    """POST /v1/data_sources: another data source in a database."""
    body = call.body
    shapes.check_body(body, _create)
    database_id = parse_id(body["parent"]["database_id"]) or ""
    tree.need_database(call, database_id)
    tree.refuse_trashed(call, "database_id", database_id)
    stored = files.stored(body.get("icon"))
    icon = dumps(page_write.attach_upload(call, stored)) if stored else None
    title, description = (richtext.normalise(body.get(name) or []) for name in ("title", "description"))
    identifier = make(call, database_id, title, description, icon, body["properties"], first=False)
    return source_object(call, tree.need_source(call, identifier))


def source_object(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    """A data source with its schema."""
    schema = call.schema(row["key"])
    database = tree.need_database(call, row["database_id"])
    trashed = tree.in_trash(call, "data_source_id", row["id"])
    out: dict[str, Any] = {
        "object": "data_source",
        "id": row["id"],
        "cover": files.served(loads(row["cover"]), call.base_url, call.now),
        "icon": files.served(loads(row["icon"]), call.base_url, call.now),
        "created_time": minute(row["created"]),
        "created_by": users.partial(row["created_by"]),
        "last_edited_by": users.partial(row["edited_by"]),
        "last_edited_time": minute(row["edited"]),
        "title": loads(row["title"]),
        "description": loads(row["description"]),
        "is_inline": bool(database["is_inline"]),
        "properties": {
            prop.name: property_config.served_config(call, schema, prop) for prop in schema.served_order()
        },
        "parent": {"type": "database_id", "database_id": row["database_id"]},
        "database_parent": tree.parent_object(database["parent_type"], database["parent_id"]),
        "url": "https://app.notion.com/p/" + row["database_id"].replace("-", ""),
        "public_url": None,
        "in_trash": trashed,
    }
    if call.shows_archived:
        out["archived"] = trashed
    return out


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/data_sources/{id}."""
    return source_object(call, tree.need_source(call, call.params["data_source_id"]))


def update(call: Call) -> dict[str, Any]:
    """PATCH /v1/data_sources/{id}: schema, looks, trash."""
    body = call.body
    shapes.check_body(body, _update)
    row = tree.need_source(call, call.params["data_source_id"])
    trash = next((body[name] for name in ("in_trash", "archived", "is_archived") if name in body), None)
    if tree.in_trash(call, "data_source_id", row["id"]) and not (trash is False and row["in_trash"]):
        raise archived_edit()
    if "parent" in body:
        _move(call, row, parse_id(body["parent"]["database_id"]) or "")
    if "properties" in body:
        before = {prop.number for prop in call.schema(row["key"]).properties}
        schema = schema_edit.change(call, call.schema(row["key"]), body["properties"])
        after = {prop.number for prop in schema.properties}
        changed = [prop.id for prop in schema.properties if prop.number not in before]
        call.event(
            "data_source.schema_updated",
            "data_source",
            row["id"],
            {"updated_properties": changed, "deleted": len(before - after)},
        )
    changes: dict[str, Any] = {"edited": call.now, "edited_by": call.actor}
    if "title" in body:
        title = richtext.normalise(body["title"])
        changes.update(title=dumps(title), title_plain=richtext.plain(title))
        # A database with this one source shows the source's title (recorded).
        call.db.execute(
            "UPDATE database SET title = ? WHERE id = ? AND 1 ="
            " (SELECT count(*) FROM data_source WHERE database_id = database.id)",
            (dumps(title), call.schema(row["key"]).database_id),
        )
    if "description" in body:
        changes["description"] = dumps(richtext.normalise(body["description"]))
    for name in ("icon", "cover"):
        if name in body:
            stored = files.stored(body[name])
            changes[name] = dumps(page_write.attach_upload(call, stored)) if stored else None
    if trash is not None:
        changes["in_trash"] = int(trash)
        kind = "data_source.deleted" if trash else "data_source.undeleted"
        call.event(kind, "data_source", row["id"], {})
    assignments = ", ".join(f"{name} = ?" for name in changes)
    call.db.execute(f"UPDATE data_source SET {assignments} WHERE key = ?", (*changes.values(), row["key"]))
    return source_object(call, tree.need_source(call, row["id"]))


def _move(call: Call, row: sqlite3.Row, database_id: str) -> None:
    """Into another database, behind the sources that are there (recorded).  Views stay where they are."""
    tree.need_database(call, database_id)
    tree.refuse_trashed(call, "database_id", database_id)
    if tree.is_below(call, "database_id", database_id, row["id"]):
        raise validation("A data source cannot be moved into a database that is below itself.")
    if database_id == row["database_id"]:
        return
    call.db.execute(
        "UPDATE data_source SET database_id = ?, joined = ?, version = version + 1 WHERE key = ?",
        (database_id, call.now, row["key"]),
    )
    where = {"parent": {"id": database_id, "type": "database"}}
    call.event("data_source.moved", "data_source", row["id"], where)


def list_templates(call: Call) -> dict[str, Any]:
    """GET /v1/data_sources/{id}/templates: always empty, in the service's odd shape without object
    and type.
    """
    tree.need_source(call, call.params["data_source_id"])
    if call.query.get("start_cursor"):
        raise validation(f"The start_cursor provided is invalid: {call.query['start_cursor'][0]}")
    return {"templates": [], "has_more": False, "next_cursor": None}
