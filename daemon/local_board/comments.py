"""Comments: POST and GET /v1/comments, GET, PATCH and DELETE /v1/comments/{id}.

Comments never move the last edit of what they stand on.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from daemon.local_board import files, page_write, richtext, shapes, tree, users
from daemon.local_board.board import Call
from daemon.local_board.ids import parse_id
from daemon.local_board.listing import PAGE_SIZE, by_id_cursor, dashed_id, paging
from daemon.local_board.markdown_inline import parse as inline
from daemon.local_board.texts import BOT_NAME, dumps, loads
from daemon.local_board.times import minute

_parent = shapes.union({"page_id": shapes.uuid, "block_id": shapes.uuid})
_attachment = shapes.obj(
    {"file_upload_id": shapes.uuid, "type": shapes.enum("file_upload")}, ("file_upload_id",)
)
_display = shapes.obj(
    {
        "type": shapes.enum("integration", "user", "custom"),
        "custom": shapes.obj({"name": shapes.string()}, ("name",)),
    },
    ("type",),
)
_texts: dict[str, shapes.Check] = {"rich_text": richtext.check, "markdown": shapes.string()}
_create = shapes.any_of(
    *(
        shapes.obj(
            {
                "attachments": shapes.array(_attachment, 3),
                "display_name": _display,
                place: {"parent": _parent, "discussion_id": shapes.uuid}[place],
                text: _texts[text],
            },
            (place, text),
        )
        for place in ("parent", "discussion_id")
        for text in _texts
    )
)
_update = shapes.one_member({text: {text: check} for text, check in _texts.items()})


_LISTED: dict[str, shapes.Check] = {
    "block_id": shapes.uuid,
    "start_cursor": dashed_id,
    "page_size": shapes.integer(1, PAGE_SIZE),
}
_BAD_CURSOR = {
    "tool_error_code": "invalid_cursor",
    "tool_error_class": "validation",
    "tool_error_retryable": "false",
}
"""What the refusal of a cursor carries here and nowhere else (measured)."""


def _text(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The comment's text from rich_text or markdown; exactly one is needed."""
    if "markdown" in body:
        return richtext.normalise(inline(body["markdown"]))
    return richtext.normalise(body["rich_text"])


def create(call: Call) -> dict[str, Any]:
    """POST /v1/comments: on a page, on a block, or in an existing discussion."""
    body = call.body
    shapes.check_body(body, _create)
    text = _text(body)
    if "discussion_id" in body:
        discussion = parse_id(body["discussion_id"]) or ""
        first = call.db.execute("SELECT * FROM comment WHERE discussion_id = ?", (discussion,)).fetchone()
        if first is None:
            raise call.not_found("discussion", discussion)
        kind, parent_id = first["parent_type"], first["parent_id"]
    else:
        kind, parent_id = _parent_of(call, body["parent"])
        discussion = _page_discussion(call, parent_id) or call.board.ids.ordered(call.now)
    if tree.in_trash(call, kind, parent_id):
        raise call.not_found(kind.removesuffix("_id"), parent_id)
    identifier = call.board.ids.ordered(call.now)
    attachments = [_attached(call, item) for item in body.get("attachments") or []]
    call.db.execute(
        "INSERT INTO comment(id, parent_type, parent_id, discussion_id, body, attachments, display_name,"
        " created, edited, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(
                identifier,
                kind,
                parent_id,
                discussion,
                dumps(text),
                dumps(attachments) if attachments else None,
            ),
            *(dumps(_display_name(call, body.get("display_name"))), call.now, call.now, call.actor),
        ),
    )
    where = {"id": parent_id, "type": kind.removesuffix("_id")}
    call.event("comment.created", "comment", identifier, {"parent": where, "page_id": parent_id})
    return comment_object(call, _need(call, identifier))


def _page_discussion(call: Call, page_id: str) -> str | None:
    """The discussion that a page's own comments are in: one for all of them (recorded)."""
    row = call.db.execute(
        "SELECT discussion_id FROM comment WHERE parent_type = 'page_id' AND parent_id = ? AND removed = 0"
        " ORDER BY key LIMIT 1",
        (page_id,),
    ).fetchone()
    return None if row is None else str(row["discussion_id"])


def _parent_of(call: Call, parent: dict[str, Any]) -> tuple[str, str]:
    kind = "page_id" if "page_id" in parent else "block_id"
    identifier = parse_id(parent[kind]) or ""
    if tree.page_row(call, identifier) is not None:
        return "page_id", identifier
    if kind == "page_id" or tree.block_row(call, identifier) is None:
        raise call.not_found(kind.removesuffix("_id"), identifier)
    return kind, identifier


def _attached(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    stored = {"type": "file_upload", "file_upload": {"id": parse_id(given["file_upload_id"]) or ""}}
    return page_write.attach_upload(call, stored)


def _display_name(call: Call, given: dict[str, Any] | None) -> dict[str, Any]:
    kind = (given or {}).get("type", "integration")
    row = call.db.execute("SELECT name FROM user WHERE id = ?", (call.actor,)).fetchone()
    name = row["name"] if row is not None else BOT_NAME
    if kind == "custom":
        name = (given or {}).get("custom", {}).get("name", name)
    if kind == "integration" and call.actor != call.board.bot_id:
        kind = "user"
    return {"type": kind, "resolved_name": name}


def _need(call: Call, identifier: str) -> sqlite3.Row:
    row: sqlite3.Row | None = call.db.execute(
        "SELECT * FROM comment WHERE id = ? AND removed = 0", (identifier,)
    ).fetchone()
    if row is None:
        raise call.not_found("comment", identifier)
    return row


def comment_object(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    """A comment as answers show it."""
    out: dict[str, Any] = {
        "object": "comment",
        "id": row["id"],
        "parent": tree.parent_object(row["parent_type"], row["parent_id"]),
        "discussion_id": row["discussion_id"],
        "created_time": minute(row["created"]),
        "last_edited_time": minute(row["edited"]),
        "created_by": users.partial(row["created_by"]),
        "rich_text": loads(row["body"]),
    }
    if row["attachments"] is not None:
        shown = [files.served(item, call.base_url, call.now) or {} for item in loads(row["attachments"])]
        out["attachments"] = [{"category": "productivity", "file": item.get("file")} for item in shown]
    out["display_name"] = loads(row["display_name"])
    return out


def list_comments(call: Call) -> dict[str, Any]:
    """GET /v1/comments?block_id=: open comments of a page or block, oldest first.  page_size is
    strict here.
    """
    page = paging(call, _LISTED, ("block_id",))
    parsed = parse_id(call.query["block_id"][0]) or ""
    if tree.page_row(call, parsed) is None and tree.block_row(call, parsed) is None:
        raise call.not_found("block", parsed)
    rows = call.db.execute(
        "SELECT * FROM comment WHERE parent_id = ? AND removed = 0 ORDER BY key", (parsed,)
    ).fetchall()
    by_id = {row["id"]: row for row in rows}
    return by_id_cursor(
        "comment",
        list(by_id),
        lambda ids: [comment_object(call, by_id[item]) for item in ids],
        page,
        additional=_BAD_CURSOR,
    )


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/comments/{id}."""
    return comment_object(call, _need(call, call.params["comment_id"]))


def update(call: Call) -> dict[str, Any]:
    """PATCH /v1/comments/{id}: a new text."""
    shapes.check_body(call.body, _update)
    text = _text(call.body)
    row = _need(call, call.params["comment_id"])
    call.db.execute(
        "UPDATE comment SET body = ?, edited = ? WHERE id = ?", (dumps(text), call.now, row["id"])
    )
    call.event("comment.updated", "comment", row["id"], {"page_id": row["parent_id"]})
    return comment_object(call, _need(call, row["id"]))


def delete(call: Call) -> dict[str, Any]:
    """DELETE /v1/comments/{id}: gone for good; answers what it was."""
    row = _need(call, call.params["comment_id"])
    call.db.execute("UPDATE comment SET removed = 1 WHERE id = ?", (row["id"],))
    call.event("comment.deleted", "comment", row["id"], {"page_id": row["parent_id"]})
    return comment_object(call, row)
