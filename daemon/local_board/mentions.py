"""Mentions in rich text, as answers show them.

Rich text is kept as it was written.  Who a mentioned user is and how a mentioned page is called is looked up
for each answer, so that names follow their owners, as on the service.
"""

from __future__ import annotations

from typing import Any

from daemon.local_board import tree, users
from daemon.local_board.board import Call

MARK = '"type":"mention"'
"""What the JSON of an answer holds when there is something to resolve."""

UNTITLED = "Untitled"


def resolve(call: Call, value: Any) -> None:
    """Completes every mention of a user or a page inside an answer, in place (recorded for users)."""
    if isinstance(value, list):
        for item in value:
            resolve(call, item)
    elif isinstance(value, dict):
        if value.get("type") == "mention" and isinstance(value.get("mention"), dict):
            _complete(call, value)
            return
        for item in value.values():
            resolve(call, item)


def _complete(call: Call, run: dict[str, Any]) -> None:
    mention = run["mention"]
    inner = mention.get(mention.get("type"))
    if not isinstance(inner, dict) or "id" not in inner:
        return
    if mention["type"] == "user":
        mention["user"] = users.in_value(call, str(inner["id"]))
        if "name" in mention["user"]:
            run["plain_text"] = f"@{mention['user']['name']}"
    elif mention["type"] == "page":
        page = tree.page_row(call, str(inner["id"]))
        if page is not None:
            run["plain_text"] = page["title"] or UNTITLED
