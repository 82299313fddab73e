"""POST /v1/pages, GET and PATCH /v1/pages/{id}."""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from daemon.local_board import (
    async_tasks,
    block_shapes,
    block_store,
    files,
    markdown_write,
    page_view,
    page_write,
    richtext,
    shapes,
    tree,
)
from daemon.local_board.board import Call
from daemon.local_board.errors import archived_edit, failed, not_served, validation
from daemon.local_board.ids import parse_id
from daemon.local_board.schema import Schema, encode_id
from daemon.local_board.texts import dumps, loads
from daemon.local_board.values import check_properties

_PARENTS: dict[str, shapes.Check] = {
    "page_id": shapes.uuid,
    "database_id": shapes.uuid,
    "data_source_id": shapes.uuid,
    "block_id": shapes.uuid,
    "workspace": shapes.enum(True),
}
check_parent = shapes.union(_PARENTS, extra=("type", "database_id"))

_position = shapes.any_of(
    shapes.obj(
        {"type": shapes.enum("after_block"), "after_block": shapes.obj({"id": shapes.uuid}, ("id",))},
        ("type", "after_block"),
    ),
    *(shapes.obj({"type": shapes.enum(name)}, ("type",)) for name in ("page_start", "page_end")),
)
_create = shapes.obj(
    {
        "parent": check_parent,
        "properties": check_properties,
        "icon": shapes.nullable(files.check_icon),
        "cover": shapes.nullable(files.check_cover),
        "children": block_shapes.check_children,
        "content": block_shapes.check_children,
        "markdown": shapes.string(),
        "allow_async": shapes.boolean,
        "template": shapes.json_object,
        "position": _position,
    },
    ("parent",),
)
_update = shapes.obj(
    {
        "properties": check_properties,
        "icon": shapes.nullable(files.check_icon),
        "cover": shapes.nullable(files.check_cover),
        "is_locked": shapes.boolean,
        "archived": shapes.boolean,
        "in_trash": shapes.boolean,
        "is_archived": shapes.boolean,
        "erase_content": shapes.boolean,
        "template": shapes.json_object,
    }
)


def create(call: Call) -> dict[str, Any]:
    """POST /v1/pages."""
    body = call.body
    shapes.check_body(body, _create)
    if "markdown" in body and ("children" in body or "content" in body):
        raise validation("Cannot specify both `markdown` and `children`.")
    refuse_template(body)
    kind, identifier, schema = parent_of_write(call, body["parent"])
    given = body.get("properties") or {}
    stored = _stored_for_new(call, schema, given)
    schema = call.schema(schema.key) if schema is not None else None
    page_id = call.board.ids.ordered(call.now)
    key = _insert(call, page_id, kind, identifier, schema, stored)
    if schema is None and identifier is not None:
        block_store.insert_child_marker(call, page_id, "child_page", kind, identifier, body.get("position"))
    children = body.get("children") or body.get("content") or []
    block_shapes.check_content(children)
    if children:
        block_store.insert_children(call, "page_id", page_id, children, after=None, at_start=False)
    if body.get("markdown"):
        markdown_write.append(call, page_id, body["markdown"])
    where: dict[str, Any] = {"id": identifier, "type": entity(kind)}
    if schema is not None:
        where = {"id": schema.database_id, "type": "database", "data_source_id": schema.id}
    call.event("page.created", "page", page_id, {"parent": where})
    row = call.db.execute("SELECT * FROM page WHERE key = ?", (key,)).fetchone()
    out = page_view.page_object(call, row, only=filter_numbers(call, row), trashed=False)
    # Documented: without markdown the answer stays synchronous whatever allow_async says.
    if body.get("allow_async") and "markdown" in body:
        return async_tasks.accepted(call, "POST /v1/pages", out)
    return out


def refuse_template(body: Mapping[str, Any]) -> None:
    """501 for a template: there are none here."""
    if (body.get("template") or {}).get("type", "none") != "none":
        raise not_served("page templates")


def entity(kind: str) -> str:
    """What events call a kind of parent."""
    return "space" if kind == "workspace" else kind.removesuffix("_id")


def parent_of_write(call: Call, parent: Mapping[str, Any]) -> tuple[str, str | None, Schema | None]:
    """Kind and id of a page's parent, and the schema where the page becomes a row."""
    kind = next(name for name in _PARENTS if name in parent)
    if "data_source_id" in parent:
        kind = "data_source_id"
    if kind == "workspace":
        return kind, None, None
    identifier = parse_id(parent[kind]) or parent[kind]
    if kind == "data_source_id":
        source = tree.need_source(call, identifier)
        tree.refuse_trashed(call, kind, identifier)
        return kind, identifier, call.schema(source["key"])
    if kind == "database_id":
        tree.need_database(call, identifier)
        tree.refuse_trashed(call, kind, identifier)
        return "data_source_id", *_only_source(call, identifier)
    if kind == "page_id":
        tree.need_page(call, identifier)
    elif tree.block_row(call, identifier) is None:
        raise call.not_found("block", identifier)
    tree.refuse_trashed(call, kind, identifier)
    return kind, identifier, None


def _only_source(call: Call, database_id: str) -> tuple[str, Schema]:
    rows = call.db.execute("SELECT key, id FROM data_source WHERE database_id = ?", (database_id,)).fetchall()
    if len(rows) != 1:
        raise validation(
            "Databases with multiple data sources are not supported in this API version.",
            additional={
                "error_type": "multiple_data_sources_for_database",
                "database_id": database_id,
                "child_data_source_ids": [row["id"] for row in rows],
                "minimum_api_version": "2025-09-03",
            },
        )
    return rows[0]["id"], call.schema(rows[0]["key"])


def _stored_for_new(call: Call, schema: Schema | None, given: Mapping[str, Any]) -> dict[str, Any]:
    if schema is None:
        return {"title": plain_title(given)}
    pairs = page_write.resolve(schema, given)
    stored = page_write.defaults(call, schema)
    writer = page_write.Writer(call, schema)
    for prop, value in pairs:
        stored[prop.id] = writer.store(prop, value)
    return stored


def plain_title(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The title of a page that is no row: its only property."""
    for name, payload in given.items():
        value = payload if isinstance(payload, list) else payload.get("title")
        if name != "title" or value is None:
            raise validation(f"{name} is not a property that exists.")
        return richtext.normalise(value)
    return []


def _insert(
    call: Call, page_id: str, kind: str, identifier: str | None, schema: Schema | None, stored: dict[str, Any]
) -> int:
    icon, cover = _decorations(call, call.body)
    cursor = call.db.execute(
        "INSERT INTO page(id, parent_type, parent_id, source, created, edited, created_by, edited_by, icon,"
        " cover, title, properties) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            page_id,
            kind,
            identifier,
            schema.key if schema else None,
            call.now,
            call.now,
            call.actor,
            call.actor,
            icon,
            cover,
            richtext.plain(stored.get("title") or []),
            dumps(stored),
        ),
    )
    key = cursor.lastrowid or 0
    if schema is not None:
        page_write.insert_row(call, schema, key, stored)
    return key


def _decorations(call: Call, body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    out = []
    for name in ("icon", "cover"):
        stored = files.stored(body.get(name))
        out.append(dumps(page_write.attach_upload(call, stored)) if stored else None)
    return out[0], out[1]


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/pages/{id}: also in the trash."""
    row = tree.need_page(call, call.params["page_id"])
    return page_view.page_object(call, row, only=filter_numbers(call, row))


def filter_numbers(call: Call, row: sqlite3.Row) -> set[str] | None:
    """filter_properties of a page endpoint: the properties to show, or None for all.

    Unknown names show nothing and are not refused, and a page that is no row keeps its title (measured).
    """
    names = call.query.get("filter_properties")
    if not names or row["source"] is None:
        return None
    found = map(call.schema(row["source"]).find, names)
    return {str(prop.number) for prop in found if prop is not None}


def update(call: Call) -> dict[str, Any]:
    """PATCH /v1/pages/{id}."""
    body = call.body
    shapes.check_body(body, _update)
    if "archived" in body and not call.shows_archived:
        raise failed(
            "body", [f"body.archived should be not present, instead was `{dumps(body['archived'])}`."]
        )
    refuse_template(body)
    row = tree.need_page(call, call.params["page_id"])
    only = filter_numbers(call, row)
    trash = next((body[name] for name in ("in_trash", "archived", "is_archived") if name in body), None)
    restoring = trash is False and row["in_trash"]
    if not restoring and tree.in_trash(call, "page_id", row["id"]) and (trash is None or len(body) > 1):
        raise archived_edit()
    changed = _write_properties(call, row, body.get("properties") or {})
    _write_members(call, row, body)
    if body.get("erase_content"):
        block_store.erase(call, row["id"])
    if trash is not None:
        set_trash(call, row, bool(trash))
    if changed:
        call.event(
            "page.properties_updated", "page", row["id"], {"updated_properties": changed, **where(call, row)}
        )
    elif body and trash is None:
        call.event(
            "page.properties_updated", "page", row["id"], {"updated_properties": [], **where(call, row)}
        )
    return page_view.page_object(call, tree.need_page(call, row["id"]), only=only)


def where(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    """The parent of a page as events name it."""
    if row["source"] is None:
        return {"parent": {"id": row["parent_id"], "type": entity(row["parent_type"])}}
    schema = call.schema(row["source"])
    return {"parent": {"id": schema.database_id, "type": "database", "data_source_id": schema.id}}


def _write_properties(call: Call, row: sqlite3.Row, given: Mapping[str, Any]) -> list[str]:
    """Stores the given properties and returns their served ids."""
    if not given:
        return []
    stored = loads(row["properties"])
    if row["source"] is None:
        fresh: dict[str, Any] = {"title": plain_title(given)}
    else:
        writer = page_write.Writer(call, call.schema(row["source"]))
        pairs = page_write.resolve(writer.schema, given)
        fresh = {prop.id: writer.store(prop, value) for prop, value in pairs}
        page_write.update_row(call, writer.schema, row["key"], stored, fresh)
        # A self-relation may have changed this very page while its other half was written.
        stored = loads(tree.need_page(call, row["id"])["properties"])
    merged = {**stored, **fresh}
    title = richtext.plain(merged.get("title") or [])
    call.db.execute(
        "UPDATE page SET properties = ?, title = ? WHERE key = ?", (dumps(merged), title, row["key"])
    )
    return [encode_id(identifier) for identifier in fresh]


def _write_members(call: Call, row: sqlite3.Row, body: Mapping[str, Any]) -> None:
    for name in ("icon", "cover"):
        if name in body:
            stored = files.stored(body[name])
            text = dumps(page_write.attach_upload(call, stored)) if stored else None
            call.db.execute(f"UPDATE page SET {name} = ? WHERE key = ?", (text, row["key"]))
    if "is_locked" in body:
        call.db.execute("UPDATE page SET is_locked = ? WHERE key = ?", (int(body["is_locked"]), row["key"]))
    touch(call, row)


def touch(call: Call, row: sqlite3.Row) -> None:
    """Moves a page's last edit to this call, in the page and in its row."""
    call.db.execute(
        "UPDATE page SET edited = ?, edited_by = ? WHERE key = ?", (call.now, call.actor, row["key"])
    )
    if row["source"] is not None:
        table = call.schema(row["source"]).table
        call.db.execute(
            f"UPDATE {table} SET edited = ?, edited_by = ? WHERE page = ?", (call.now, call.actor, row["key"])
        )


def set_trash(call: Call, row: sqlite3.Row, trashed: bool) -> None:
    """Puts a page into the trash or takes it out."""
    call.db.execute("UPDATE page SET in_trash = ? WHERE key = ?", (int(trashed), row["key"]))
    call.db.execute("UPDATE block SET in_trash = ? WHERE id = ?", (int(trashed), row["id"]))
    if row["source"] is not None:
        table = call.schema(row["source"]).table
        call.db.execute(f"UPDATE {table} SET trash = ? WHERE page = ?", (int(trashed), row["key"]))
    if bool(row["in_trash"]) != trashed:
        call.event("page.deleted" if trashed else "page.undeleted", "page", row["id"], where(call, row))
