"""Users: the bot that owns the token, one person, and those that tests add.

GET /v1/users, /v1/users/me, /v1/users/{id}.
"""

from __future__ import annotations

from typing import Any

from daemon.local_board import shapes
from daemon.local_board.board import Call
from daemon.local_board.listing import by_id_cursor, paging
from daemon.local_board.texts import WORKSPACE_NAME

MAX_UPLOAD_BYTES = 5 * 1024 * 1024 * 1024
"""What a workspace says it takes (5 GiB, the paid plans' number): only `mode: multi_part` gets near it."""


def partial(user_id: str) -> dict[str, Any]:
    """A user as created_by and last_edited_by of objects."""
    return {"object": "user", "id": user_id}


def full(call: Call, user_id: str) -> dict[str, Any]:
    """A user as the users endpoints show it.  Users that this board does not know stay partial."""
    row = call.db.execute("SELECT * FROM user WHERE id = ?", (user_id,)).fetchone()
    return partial(user_id) if row is None else _object(call, row)


def in_value(call: Call, user_id: str) -> dict[str, Any]:
    """A user as a property value shows it: bots without their particulars, people with the address only
    (recorded).
    """
    out = full(call, user_id)
    if "bot" in out:
        out["bot"] = {}
    elif "person" in out:
        out["person"] = {"email": out["person"]["email"]}
    return out


def _object(call: Call, row: Any) -> dict[str, Any]:
    out: dict[str, Any] = {
        "object": "user",
        "id": row["id"],
        "name": row["name"],
        "avatar_url": row["avatar_url"],
        "type": row["kind"],
    }
    if row["kind"] == "person":
        out["person"] = {"email": row["email"], "email_verified": True}
    elif row["id"] == call.board.bot_id:
        out["bot"] = {
            "owner": {"type": "workspace", "workspace": True},
            "workspace_name": WORKSPACE_NAME,
            "workspace_id": call.board.workspace_id,
            "workspace_limits": {"max_file_upload_size_in_bytes": MAX_UPLOAD_BYTES},
        }
    else:
        out["bot"] = {}
    return out


def me(call: Call) -> dict[str, Any]:
    """GET /v1/users/me: the bot."""
    return full(call, call.board.bot_id)


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/users/{id}."""
    row = call.db.execute("SELECT * FROM user WHERE id = ?", (call.params["user_id"],)).fetchone()
    if row is None:
        raise call.not_found("user", call.params["user_id"])
    return _object(call, row)


def list_users(call: Call) -> dict[str, Any]:
    """GET /v1/users, people first.  The cursor is any text (measured: its shape is not checked here)."""
    page = paging(call, {"start_cursor": shapes.string(), "page_size": shapes.number})
    rows = call.db.execute("SELECT * FROM user ORDER BY position, id").fetchall()
    ids = [row["id"] for row in rows]
    return by_id_cursor("user", ids, lambda some: [full(call, item) for item in some], page)
