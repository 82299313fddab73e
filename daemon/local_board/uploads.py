"""File uploads: POST and GET /v1/file_uploads, GET /v1/file_uploads/{id}, POST …/send, POST …/complete.

Imports by `external_url` stay pending: the board never fetches anything from the network.
"""

from __future__ import annotations

import mimetypes
import sqlite3
from typing import Any

from daemon.local_board import shapes
from daemon.local_board.board import Call
from daemon.local_board.errors import failed, quote, validation
from daemon.local_board.forms import Part
from daemon.local_board.listing import by_id_cursor, paging
from daemon.local_board.times import minute

LIFE_MS = 3_600_000
"""An upload that is not attached within an hour expires (documented)."""

SINGLE_LIMIT = 20 * 1024 * 1024
"""Bytes of a single part, and of each part of several (documented)."""

PARTS_LIMIT = 10_000
_STATUSES = ("pending", "uploaded", "expired", "failed")

_create = shapes.obj(
    {
        "mode": shapes.enum("single_part", "multi_part", "external_url"),
        "filename": shapes.string(900),
        "content_type": shapes.string(),
        "number_of_parts": shapes.integer(1),
        "external_url": shapes.string(2000),
    }
)


def create(call: Call) -> dict[str, Any]:
    """POST /v1/file_uploads."""
    body = call.body
    shapes.check_body(body, _create)
    mode = body.get("mode", "single_part")
    needed = {
        "multi_part": ("filename", "number_of_parts"),
        "external_url": ("filename", "external_url"),
    }.get(mode, ())
    missing = [
        f"body.{name} should be defined, instead was `undefined`." for name in needed if name not in body
    ]
    if missing:
        raise failed("body", missing)
    parts = body.get("number_of_parts") if mode == "multi_part" else None
    if parts is not None and parts > PARTS_LIMIT:
        raise failed("body", [f"body.number_of_parts should be ≤ `{PARTS_LIMIT}`, instead was `{parts}`."])
    filename = body.get("filename")
    kind = body.get("content_type") or (mimetypes.guess_type(filename)[0] if filename else None)
    identifier = call.board.ids.ordered(call.now, "00b2")
    call.db.execute(
        "INSERT INTO upload(id, mode, status, filename, content_type, parts, source_url, created, edited,"
        " expires, created_by) VALUES (?, ?, 'pending', ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(identifier, mode, filename, kind, parts, body.get("external_url")),
            *(call.now, call.now, call.now + LIFE_MS, call.actor),
        ),
    )
    call.event("file_upload.created", "file_upload", identifier, {})
    return upload_object(call, _need(call, identifier))


def _need(call: Call, identifier: str) -> sqlite3.Row:
    row: sqlite3.Row | None = call.db.execute("SELECT * FROM upload WHERE id = ?", (identifier,)).fetchone()
    if row is None:
        raise call.not_found("file upload", identifier)
    return row


def _status(call: Call, row: sqlite3.Row) -> str:
    if row["status"] in ("pending", "uploaded") and row["expires"] is not None and row["expires"] <= call.now:
        return "expired"
    status: str = row["status"]
    return status


def upload_object(call: Call, row: sqlite3.Row, *, listed: bool = False) -> dict[str, Any]:
    """An upload as answers show it: upload_url only while pending, number_of_parts only for several parts
    and not in lists (recorded)."""
    status = _status(call, row)
    out: dict[str, Any] = {
        "object": "file_upload",
        "id": row["id"],
        "created_time": minute(row["created"]),
        "created_by": {
            "id": row["created_by"],
            "type": "bot" if row["created_by"] == call.board.bot_id else "person",
        },
        "last_edited_time": minute(row["edited"]),
        "expiry_time": minute(row["expires"]) if row["expires"] is not None else None,
    }
    if status == "pending":
        out["upload_url"] = f"{call.base_url}/v1/file_uploads/{row['id']}/send"
    # The newer version has in_trash in its place (published schema; the older one is recorded).
    out["archived" if call.shows_archived else "in_trash"] = status == "expired"
    out["status"] = status
    out["filename"] = row["filename"]
    out["content_type"] = row["content_type"]
    out["content_length"] = row["content_length"]
    if row["parts"] is not None and not listed:
        sent = call.db.execute(
            "SELECT count(*) AS n FROM upload_part WHERE upload = ?", (row["key"],)
        ).fetchone()["n"]
        out["number_of_parts"] = {"total": row["parts"], "sent": sent}
    return out


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/file_uploads/{id}."""
    return upload_object(call, _need(call, call.params["file_upload_id"]))


def list_uploads(call: Call) -> dict[str, Any]:
    """GET /v1/file_uploads, newest first, optionally of one status."""
    page = paging(call)
    wanted = call.query.get("status", [None])[0]
    if wanted is not None and wanted not in _STATUSES:
        choice = ", ".join(f'`"{name}"`' for name in _STATUSES[:-1]) + f', or `"{_STATUSES[-1]}"`'
        raise failed("query", [f"query.status should be {choice}, instead was {quote(wanted)}."])
    rows = call.db.execute("SELECT * FROM upload ORDER BY key DESC").fetchall()
    by_id = {row["id"]: row for row in rows if wanted is None or _status(call, row) == wanted}
    return by_id_cursor(
        "file_upload",
        list(by_id),
        lambda ids: [upload_object(call, by_id[item], listed=True) for item in ids],
        page,
    )


def send(call: Call) -> dict[str, Any]:
    """POST /v1/file_uploads/{id}/send: the file, or one part of it.  A single part finishes the upload."""
    row = _need(call, call.params["file_upload_id"])
    parts = {part.name: part for part in call.form}
    file = parts.get("file")
    if file is None:
        raise failed("body", ["body.file should be defined, instead was `undefined`."])
    status = _status(call, row)
    if status != "pending":
        raise validation(f"File upload is in status `{status}`, expected `pending`.")
    if row["mode"] == "external_url":
        raise validation("File uploads with mode `external_url` do not accept file contents.")
    if len(file.data) > SINGLE_LIMIT:
        raise validation("File size exceeds the limit of 20 MB for one part. Use the `multi_part` mode.")
    number = 1
    if row["mode"] == "multi_part":
        number = _part_number(parts.get("part_number"), row["parts"])
    call.db.execute(
        "INSERT OR REPLACE INTO upload_part(upload, number, data) VALUES (?, ?, ?)",
        (row["key"], number, file.data),
    )
    call.db.execute("UPDATE upload SET edited = ? WHERE key = ?", (call.now, row["key"]))
    if row["mode"] != "multi_part":
        call.db.execute(
            "UPDATE upload SET filename = coalesce(filename, ?), content_type = coalesce(content_type, ?)"
            " WHERE key = ?",
            (file.filename, file.content_type or "application/octet-stream", row["key"]),
        )
        _finish(call, row["key"])
    return upload_object(call, _need(call, row["id"]))


def _part_number(part: Part | None, total: int) -> int:
    text = part.data.decode("latin-1") if part is not None else ""
    if not text.isdigit() or not 1 <= int(text) <= total:
        should = f"body.part_number should be a number from 1 to {total}"
        raise failed("body", [f"{should}, instead was {quote(text) if text else '`undefined`'}."])
    return int(text)


def _finish(call: Call, key: int) -> None:
    call.db.execute(
        "UPDATE upload SET status = 'uploaded', edited = ?,"
        " content_length = (SELECT sum(length(data)) FROM upload_part WHERE upload = key) WHERE key = ?",
        (call.now, key),
    )
    row = call.db.execute("SELECT id FROM upload WHERE key = ?", (key,)).fetchone()
    call.event("file_upload.completed", "file_upload", row["id"], {})


def complete(call: Call) -> dict[str, Any]:
    """POST /v1/file_uploads/{id}/complete: all parts are there."""
    shapes.check_body(call.body, shapes.obj({}))
    row = _need(call, call.params["file_upload_id"])
    if row["mode"] != "multi_part" or _status(call, row) != "pending":
        raise validation("Only pending multi_part file uploads can be completed.")
    sent = call.db.execute(
        "SELECT count(*) AS n FROM upload_part WHERE upload = ?", (row["key"],)
    ).fetchone()["n"]
    if sent != row["parts"]:
        raise validation(f"Cannot complete the file upload: {sent} of {row['parts']} parts were sent.")
    _finish(call, row["key"])
    return upload_object(call, _need(call, row["id"]))
