"""GET, PATCH and DELETE /v1/blocks/{id}; GET and PATCH /v1/blocks/{id}/children."""

from __future__ import annotations

import sqlite3
from typing import Any

from daemon.local_board import block_shapes, block_store, page_write, pages, shapes, tree
from daemon.local_board.board import Call
from daemon.local_board.errors import archived_edit, failed, not_served, validation
from daemon.local_board.listing import by_id_cursor, envelope, paging
from daemon.local_board.texts import dumps, loads

_position = shapes.any_of(
    shapes.obj(
        {"type": shapes.enum("after_block"), "after_block": shapes.obj({"id": shapes.uuid}, ("id",))},
        ("type", "after_block"),
    ),
    *(shapes.obj({"type": shapes.enum(name)}, ("type",)) for name in ("start", "end")),
)
_append = shapes.obj(
    {"children": block_shapes.check_children, "after": shapes.uuid, "position": _position},
    ("children",),
)


def _target(call: Call) -> tuple[str, sqlite3.Row]:
    """("page_id" | "database_id" | "block_id", row) of the id in the path, or 404."""
    identifier = call.params["block_id"]
    page = tree.page_row(call, identifier)
    if page is not None:
        return "page_id", page
    database = tree.database_row(call, identifier)
    if database is not None:
        return "database_id", database
    row = tree.block_row(call, identifier)
    if row is None:
        raise call.not_found("block", identifier)
    return "block_id", row


def _view(call: Call, kind: str, row: sqlite3.Row) -> dict[str, Any]:
    if kind == "page_id":
        return block_store.page_as_block(call, row)
    if kind == "database_id":
        return block_store.database_as_block(call, row)
    return block_store.block_object(call, row)


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/blocks/{id}: any block, page or database, also in the trash."""
    return _view(call, *_target(call))


def list_children(call: Call) -> dict[str, Any]:
    """GET /v1/blocks/{id}/children.  404 below something that is in the trash; a database has none."""
    page = paging(call)
    kind, row = _target(call)
    if tree.in_trash(call, kind, row["id"]):
        raise call.not_found("block", row["id"])
    holder = block_store.content_holder(call, row) if kind == "block_id" else row["id"]
    children = [] if kind == "database_id" else block_store.live_children(call, holder)
    by_id = {child["id"]: child for child in children}
    return by_id_cursor(
        "block",
        list(by_id),
        lambda ids: [block_store.block_object(call, by_id[item], trashed=False) for item in ids],
        page,
    )


def append(call: Call) -> dict[str, Any]:
    """PATCH /v1/blocks/{id}/children.

    Answers the new blocks; inserted in the middle, they are followed by all later siblings (recorded).
    """
    body = call.body
    shapes.check_body(body, _append)
    if "after" in body and not call.shows_archived:
        raise failed("body", [f"body.after should be not present, instead was `{dumps(body['after'])}`."])
    kind, row = _target(call)
    if kind == "database_id" or (kind == "block_id" and row["type"] not in block_shapes.WITH_CHILDREN):
        raise validation("Block does not support children.")
    if tree.in_trash(call, kind, row["id"]):
        raise archived_edit()
    block_shapes.check_content(body["children"])
    after, at_start = block_store.place(call, row["id"], body.get("position"))
    if "after" in body:
        after = block_store.sibling(call, row["id"], body["after"])
    made = block_store.insert_children(
        call, kind, row["id"], body["children"], after=after, at_start=at_start
    )
    _touched(call, kind, row, made)
    results = [block_store.block_object(call, child, trashed=False) for child in _from(call, row["id"], made)]
    return envelope("block", results, None)


def _from(call: Call, parent_id: str, made: list[str]) -> list[sqlite3.Row]:
    if not made:
        return []
    children = block_store.live_children(call, parent_id)
    first = next(index for index, child in enumerate(children) if child["id"] == made[0])
    return children[first:]


def _touched(call: Call, kind: str, row: sqlite3.Row, changed: list[str]) -> None:
    """The edited time of the page around a changed block, and the event."""
    if kind == "block_id":
        call.db.execute(
            "UPDATE block SET edited = ?, edited_by = ? WHERE id = ?", (call.now, call.actor, row["id"])
        )
        page = block_store.page_of(call, row["parent_type"], row["parent_id"])
    else:
        page = row
    if page is None:
        return
    pages.touch(call, page)
    updated = [{"id": identifier, "type": "block"} for identifier in changed]
    call.event(
        "page.content_updated", "page", page["id"], {"updated_blocks": updated, **pages.where(call, page)}
    )


def update(call: Call) -> dict[str, Any]:
    """PATCH /v1/blocks/{id}: new content of the same type, or the trash."""
    body = call.body
    shapes.check_body(body, shapes.json_object)
    kind, row = _target(call)
    block_type = row["type"] if kind == "block_id" else kind
    given = [name for name in body if name in block_shapes.TYPES]
    if kind == "block_id" and given and given[0] != block_type:
        raise validation(f"Expected block type {block_type} in request body")
    fields: dict[str, shapes.Check] = {
        "archived": shapes.boolean,
        "in_trash": shapes.boolean,
        "type": shapes.string(),
    }
    if kind == "block_id" and block_type in block_shapes.TYPES:
        fields[block_type] = block_shapes.check_body(block_type, level=1, update=True)
    shapes.check_body(body, shapes.obj(fields))
    trash = body.get("in_trash", body.get("archived"))
    if kind != "block_id":
        if trash is None:
            raise validation(f"Block {row['id']} is not editable through this endpoint.")
        _trash(call, kind, row, trash)
        return _view(call, *_target(call))
    if tree.in_trash(call, kind, row["id"]) and (trash is not False or not row["in_trash"]):
        raise archived_edit()
    if block_type in body:
        _rewrite(call, row, body[block_type])
    if trash is not None:
        _trash(call, kind, row, trash)
    _touched(call, kind, row, [row["id"]])
    return _view(call, *_target(call))


def _rewrite(call: Call, row: sqlite3.Row, given: dict[str, Any]) -> None:
    merged = {**loads(row["body"]), **given}
    if row["type"] in block_shapes.MEDIA_TYPES and ("external" in given or "file_upload" in given):
        for name in ("external", "file", "file_upload"):
            if name not in given:
                merged.pop(name, None)
    body = block_shapes.normalise(row["type"], merged)
    if row["type"] in block_shapes.MEDIA_TYPES:
        body = page_write.attach_upload(call, body)
    call.db.execute("UPDATE block SET body = ? WHERE id = ?", (dumps(body), row["id"]))


def delete(call: Call) -> dict[str, Any]:
    """DELETE /v1/blocks/{id}: into the trash, for pages and databases too.  A second time changes nothing
    (recorded).
    """
    kind, row = _target(call)
    if row["id"] == call.board.root_page:
        raise not_served("deleting the root page")
    if row["in_trash"]:
        return _view(call, kind, row)
    _trash(call, kind, row, True)
    if kind == "block_id":
        _touched(call, kind, row, [row["id"]])
    return _view(call, *_target(call))


def _trash(call: Call, kind: str, row: sqlite3.Row, trashed: bool) -> None:
    if kind == "page_id":
        pages.set_trash(call, row, trashed)
        return
    call.db.execute("UPDATE block SET in_trash = ? WHERE id = ?", (int(trashed), row["id"]))
    if kind == "database_id":
        call.db.execute("UPDATE database SET in_trash = ? WHERE id = ?", (int(trashed), row["id"]))
        call.event("database.deleted" if trashed else "database.undeleted", "database", row["id"], {})
