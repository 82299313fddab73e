"""A comment, made once for each key."""

from __future__ import annotations

import hashlib

from daemon.board import query, reading, writing
from daemon.board.transport import Transport
from daemon.core import ids


def mark(key: str) -> str:
    """The visible suffix by which a comment of ours is found again."""
    return f"[handoffd {hashlib.sha256(key.encode()).hexdigest()[:10]}]"


def once(transport: Transport, task_id: str, key: str, text: str) -> None:
    """Comment on the page unless a comment with this key's mark is there. Raises Ambiguous: look again."""
    suffix = mark(key)
    if _there(transport, task_id, suffix):
        return
    body = {"parent": {"page_id": ids.dashed(task_id)}, "rich_text": writing.runs(f"{text}\n{suffix}")}
    transport.call("comment", "POST", "comments", body=body)


def _there(transport: Transport, task_id: str, suffix: str) -> bool:
    found = query.items(transport, "comment", "comments", block_id=ids.dashed(task_id))
    return any(reading.plain(comment.get("rich_text")).rstrip().endswith(suffix) for comment in found)
