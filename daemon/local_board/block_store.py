"""Blocks in the file: order among siblings, insertion, rendering, removal.

Siblings are ordered by an integer position with wide gaps; an insertion that finds no gap spreads its
siblings.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from daemon.local_board import block_shapes, files, page_write, tree, users
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.ids import parse_id
from daemon.local_board.texts import UNTITLED_DATABASE, dumps, loads
from daemon.local_board.times import minute

_GAP = 1 << 24


def live_children(call: Call, parent_id: str) -> list[sqlite3.Row]:
    """Children that are not in the trash, in order."""
    return call.db.execute(
        "SELECT * FROM block WHERE parent_id = ? AND in_trash = 0 ORDER BY position, key", (parent_id,)
    ).fetchall()


def content_holder(call: Call, row: sqlite3.Row) -> str:
    """Id of the block whose children a block shows: its own, but for a synced copy the original's."""
    if row["type"] != "synced_block":
        return str(row["id"])
    origin = (loads(row["body"]).get("synced_from") or {}).get("block_id", "")
    original = tree.block_row(call, parse_id(str(origin)) or "")
    shared = original is not None and not tree.in_trash(call, "block_id", original["id"])
    return str(original["id"] if original is not None and shared else row["id"])


def has_children(call: Call, parent_id: str) -> bool:
    """Whether anything below is not in the trash."""
    sql = "SELECT 1 FROM block WHERE parent_id = ? AND in_trash = 0 LIMIT 1"
    return call.db.execute(sql, (parent_id,)).fetchone() is not None


def _positions(call: Call, parent_id: str, amount: int, after: str | None, at_start: bool) -> list[int]:
    """Free positions for new siblings behind `after`, at the start, or at the end."""
    sql = "SELECT id, position FROM block WHERE parent_id = ? ORDER BY position, key"
    if after is None and not at_start:
        row = call.db.execute(
            "SELECT max(position) AS last FROM block WHERE parent_id = ?", (parent_id,)
        ).fetchone()
        last = row["last"] or 0
        return [last + _GAP * (step + 1) for step in range(amount)]
    siblings = call.db.execute(sql, (parent_id,)).fetchall()
    index = 0 if after is None else next(i + 1 for i, row in enumerate(siblings) if row["id"] == after)
    low = siblings[index - 1]["position"] if index else 0
    high = siblings[index]["position"] if index < len(siblings) else low + _GAP * (amount + 1)
    step = (high - low) // (amount + 1)
    if step > 0:
        return [low + step * (number + 1) for number in range(amount)]
    for place, row in enumerate(siblings):
        moved = place if place < index else place + amount
        call.db.execute("UPDATE block SET position = ? WHERE id = ?", (_GAP * (moved + 1), row["id"]))
    return [_GAP * (index + number + 1) for number in range(amount)]


def insert_children(
    call: Call,
    parent_type: str,
    parent_id: str,
    blocks: list[dict[str, Any]],
    *,
    after: str | None,
    at_start: bool,
) -> list[str]:
    """Inserts checked blocks with their children and returns the ids of the topmost ones."""
    places = _positions(call, parent_id, len(blocks), after, at_start)
    out = []
    for block, position in zip(blocks, places, strict=True):
        kind = block_shapes.type_of(block) or "paragraph"
        body = block_shapes.normalise(kind, block[kind])
        if kind in block_shapes.MEDIA_TYPES:
            body = page_write.attach_upload(call, body)
        identifier = call.board.ids.ordered(call.now)
        _insert(call, identifier, parent_type, parent_id, position, kind, dumps(body))
        nested = block_shapes.children_of(block)
        if nested:
            insert_children(call, "block_id", identifier, nested, after=None, at_start=False)
        out.append(identifier)
    return out


def _insert(
    call: Call, identifier: str, parent_type: str, parent_id: str, position: int, kind: str, body: str
) -> None:
    call.db.execute(
        "INSERT INTO block(id, parent_type, parent_id, position, type, body, created, edited, created_by,"
        " edited_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            identifier,
            parent_type,
            parent_id,
            position,
            kind,
            body,
            call.now,
            call.now,
            call.actor,
            call.actor,
        ),
    )


def insert_child_marker(
    call: Call,
    identifier: str,
    kind: str,
    parent_type: str,
    parent_id: str,
    position: Mapping[str, Any] | None,
) -> None:
    """The place of a subpage or database among its parent's blocks (`child_page`, `child_database`)."""
    after, at_start = place(call, parent_id, position)
    where = _positions(call, parent_id, 1, after, at_start)[0]
    _insert(call, identifier, parent_type, parent_id, where, kind, "{}")


def place(call: Call, parent_id: str, position: Mapping[str, Any] | None) -> tuple[str | None, bool]:
    """(id to insert behind, whether at the start) of a `position` object."""
    kind = (position or {}).get("type", "end")
    if kind in ("start", "page_start"):
        return None, True
    if kind == "after_block":
        given = (position or {}).get("after_block") or {}
        return sibling(call, parent_id, given.get("id", "")), False
    return None, False


def sibling(call: Call, parent_id: str, given: str) -> str:
    """The id of a child to insert behind; 400 where it is no child of this parent."""
    identifier = parse_id(given) or given
    row = tree.block_row(call, identifier)
    if row is None or row["in_trash"]:
        raise call.not_found("block", identifier)
    if row["parent_id"] != parent_id:
        raise validation(f"Block {identifier} is not a child of {parent_id}.")
    return identifier


def block_object(call: Call, row: sqlite3.Row, *, trashed: bool | None = None) -> dict[str, Any]:
    """A block as answers show it.  Subpages and databases take their title and times from themselves."""
    kind = row["type"]
    if trashed is None:
        trashed = tree.in_trash(call, "block_id", row["id"])
    if kind == "child_page":
        return page_as_block(call, tree.need_page(call, row["id"]), trashed=trashed)
    if kind == "child_database":
        return database_as_block(call, tree.need_database(call, row["id"]), trashed=trashed)
    body = loads(row["body"])
    if kind in block_shapes.MEDIA_TYPES:
        body = files.served(body, call.base_url, call.now)
    elif kind in ("callout", "paragraph"):
        # Paragraphs of files written before they had an icon show null.
        icon = files.served(body.get("icon"), call.base_url, call.now)
        body = {"rich_text": body["rich_text"], "icon": icon, "color": body["color"]}
    nested = has_children(call, content_holder(call, row))
    return _envelope(
        call, row, tree.parent_object(row["parent_type"], row["parent_id"]), kind, body, nested, trashed
    )


def _envelope(
    call: Call, row: sqlite3.Row, parent: dict[str, Any], kind: str, body: Any, nested: bool, trashed: bool
) -> dict[str, Any]:
    out: dict[str, Any] = {
        "object": "block",
        "id": row["id"],
        "parent": parent,
        "created_time": minute(row["created"]),
        "last_edited_time": minute(row["edited"]),
        "created_by": users.partial(row["created_by"]),
        "last_edited_by": users.partial(row["edited_by"]),
        "has_children": nested,
        "in_trash": trashed,
        "type": kind,
        kind: body,
    }
    if call.shows_archived:
        out["archived"] = trashed
    return out


def page_as_block(call: Call, row: sqlite3.Row, *, trashed: bool | None = None) -> dict[str, Any]:
    """A page through the block endpoints: type child_page."""
    from daemon.local_board.page_view import parent_of

    if trashed is None:
        trashed = tree.in_trash(call, "page_id", row["id"])
    schema = call.schema(row["source"]) if row["source"] is not None else None
    title = {"title": row["title"]}
    return _envelope(
        call, row, parent_of(row, schema), "child_page", title, has_children(call, row["id"]), trashed
    )


def database_as_block(call: Call, row: sqlite3.Row, *, trashed: bool | None = None) -> dict[str, Any]:
    """A database through the block endpoints: type child_database, never with children."""
    from daemon.local_board.richtext import plain

    if trashed is None:
        trashed = tree.in_trash(call, "database_id", row["id"])
    title = {"title": plain(loads(row["title"])) or UNTITLED_DATABASE}
    parent = tree.parent_object(row["parent_type"], row["parent_id"])
    return _envelope(call, row, parent, "child_database", title, False, trashed)


def erase(call: Call, parent_id: str) -> None:
    """Puts every child into the trash, subpages and databases included."""
    for row in live_children(call, parent_id):
        trash_one(call, row)


def trash_one(call: Call, row: sqlite3.Row) -> None:
    """Puts one child into the trash, be it a block, a subpage or a database."""
    call.db.execute("UPDATE block SET in_trash = 1 WHERE id = ?", (row["id"],))
    if row["type"] == "child_page":
        call.db.execute("UPDATE page SET in_trash = 1 WHERE id = ?", (row["id"],))
    elif row["type"] == "child_database":
        call.db.execute("UPDATE database SET in_trash = 1 WHERE id = ?", (row["id"],))


def page_of(call: Call, parent_type: str, parent_id: str) -> sqlite3.Row | None:
    """The page that a block stands on."""
    while parent_type == "block_id":
        row = tree.block_row(call, parent_id)
        if row is None:
            return None
        parent_type, parent_id = row["parent_type"], row["parent_id"]
    return tree.page_row(call, parent_id)
