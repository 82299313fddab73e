"""POST /v1/pages/{id}/move."""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

from typing import Any

from daemon.local_board import block_store, page_view, page_write, pages, shapes, tree
from daemon.local_board.board import Call
from daemon.local_board.errors import not_served, validation
from daemon.local_board.texts import dumps, loads

_move = shapes.obj(
    {"parent": shapes.union({"page_id": shapes.uuid, "data_source_id": shapes.uuid}, extra=("type",))},
    ("parent",),
)


def move(call: Call) -> dict[str, Any]:
    """POST /v1/pages/{id}/move: to another page, or between data sources with the title alone carried
    over.
    """
    shapes.check_body(call.body, _move)
    row = tree.need_page(call, call.params["page_id"])
    tree.refuse_trashed(call, "page_id", row["id"])
    kind, identifier, schema = pages.parent_of_write(call, call.body["parent"])
    if identifier is None:
        raise not_served("moving a page to the workspace")
    if tree.is_below(call, kind, identifier, row["id"]):
        raise validation("Cannot move a page into itself or one of its descendants.")
    stored = loads(row["properties"])
    if row["source"] is not None:
        table = call.schema(row["source"]).table
        call.db.execute(f"DELETE FROM {table} WHERE page = ?", (row["key"],))
        call.db.execute("DELETE FROM link WHERE source = ?", (row["key"],))
    call.db.execute("DELETE FROM block WHERE id = ?", (row["id"],))
    stored = {"title": stored.get("title") or []}
    if schema is not None:
        stored = {**page_write.defaults(call, schema), **stored}
    call.db.execute(
        "UPDATE page SET parent_type = ?, parent_id = ?, source = ?, properties = ? WHERE key = ?",
        (kind, identifier, schema.key if schema else None, dumps(stored), row["key"]),
    )
    if schema is not None:
        page_write.insert_row(call, schema, row["key"], stored)
        columns = "created = (SELECT created FROM page WHERE key = page), created_by = ?"
        call.db.execute(
            f"UPDATE {schema.table} SET {columns} WHERE page = ?", (row["created_by"], row["key"])
        )
    else:
        block_store.insert_child_marker(call, row["id"], "child_page", kind, identifier, None)
    call.event("page.moved", "page", row["id"], {"parent": {"id": identifier, "type": pages.entity(kind)}})
    moved = tree.need_page(call, row["id"])
    pages.touch(call, moved)
    return page_view.page_object(call, tree.need_page(call, row["id"]), trashed=False)
