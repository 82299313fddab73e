"""Where things are: parents, the trash, and how parents are shown.

Trashing something does not touch what is below it; whether a thing is in the trash is found by walking up, so
taking it out again brings everything back.
"""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import sqlite3
from typing import Any

from daemon.local_board.board import Call
from daemon.local_board.errors import archived_edit

_DEPTH_LIMIT = 200
"""Steps up the tree before a loop is assumed; moves cannot make loops, so this only bounds a damaged file."""


def page_row(call: Call, identifier: str) -> sqlite3.Row | None:
    """The page with this id, whatever its state."""
    row: sqlite3.Row | None = call.db.execute("SELECT * FROM page WHERE id = ?", (identifier,)).fetchone()
    return row


def need_page(call: Call, identifier: str) -> sqlite3.Row:
    """The page with this id, or 404."""
    row = page_row(call, identifier)
    if row is None:
        raise call.not_found("page", identifier)
    return row


def database_row(call: Call, identifier: str) -> sqlite3.Row | None:
    """The database with this id."""
    row: sqlite3.Row | None = call.db.execute("SELECT * FROM database WHERE id = ?", (identifier,)).fetchone()
    return row


def need_database(call: Call, identifier: str) -> sqlite3.Row:
    """The database with this id, or 404 (also for a data source's id: the service tells no difference)."""
    row = database_row(call, identifier)
    if row is None:
        raise call.not_found("database", identifier)
    return row


def source_row(call: Call, identifier: str) -> sqlite3.Row | None:
    """The data source with this id."""
    row: sqlite3.Row | None = call.db.execute(
        "SELECT * FROM data_source WHERE id = ?", (identifier,)
    ).fetchone()
    return row


def need_source(call: Call, identifier: str) -> sqlite3.Row:
    """The data source with this id, or 404 (also for a database's id)."""
    row = source_row(call, identifier)
    if row is None:
        raise call.not_found("data source", identifier)
    return row


def block_row(call: Call, identifier: str) -> sqlite3.Row | None:
    """The block with this id.  Subpages and databases inside pages have a block row too."""
    row: sqlite3.Row | None = call.db.execute("SELECT * FROM block WHERE id = ?", (identifier,)).fetchone()
    return row


def _up(call: Call, kind: str, identifier: str) -> tuple[str, str | None, int] | None:
    """(parent kind, parent id, own trash flag) of one thing."""
    if kind == "page_id":
        row = call.db.execute(
            "SELECT p.parent_type, p.parent_id, p.in_trash, s.id AS source_id FROM page p"
            " LEFT JOIN data_source s ON s.key = p.source WHERE p.id = ?",
            (identifier,),
        ).fetchone()
        if row is not None and row["source_id"] is not None:
            return "data_source_id", row["source_id"], row["in_trash"]
    elif kind == "data_source_id":
        row = call.db.execute(
            "SELECT database_id, in_trash FROM data_source WHERE id = ?", (identifier,)
        ).fetchone()
        return None if row is None else ("database_id", row["database_id"], row["in_trash"])
    else:
        table = "database" if kind == "database_id" else "block"
        sql = f"SELECT parent_type, parent_id, in_trash FROM {table} WHERE id = ?"
        row = call.db.execute(sql, (identifier,)).fetchone()
    return None if row is None else (row["parent_type"], row["parent_id"], row["in_trash"])


def in_trash(call: Call, kind: str, identifier: str) -> bool:
    """Whether this thing, or anything above it, is in the trash.  kind: "page_id", "block_id" and so on."""
    for _ in range(_DEPTH_LIMIT):
        step = _up(call, kind, identifier)
        if step is None:
            return False
        parent_kind, parent_id, trashed = step
        if trashed:
            return True
        if parent_id is None:
            return False
        kind, identifier = parent_kind, parent_id
    return False


def refuse_trashed(call: Call, kind: str, identifier: str) -> None:
    """400 where something that is to be edited is in the trash."""
    if in_trash(call, kind, identifier):
        raise archived_edit()


def is_below(call: Call, kind: str, identifier: str, ancestor: str) -> bool:
    """Whether `ancestor` is this thing or above it; a page cannot move there."""
    for _ in range(_DEPTH_LIMIT):
        if identifier == ancestor:
            return True
        step = _up(call, kind, identifier)
        if step is None or step[1] is None:
            return False
        kind, identifier = step[0], step[1]
    return False


def parent_object(parent_type: str, parent_id: str | None) -> dict[str, Any]:
    """A parent as answers show it (rows have their own form, see pages.py)."""
    if parent_type == "workspace":
        return {"type": "workspace", "workspace": True}
    return {"type": parent_type, parent_type: parent_id}
