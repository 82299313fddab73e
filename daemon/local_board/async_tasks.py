"""`allow_async` and GET /v1/async_tasks/{id}.

The service may work on a big markdown write behind the answer; with `allow_async` it then answers 202 and a
task to ask for.  This board does the work at once, in the request's own transaction, and keeps what it would
have answered: a task is "queued" in the first answer and "succeeded" in every later one.  A write that is
refused is refused at once, as on the service.
"""

from __future__ import annotations

from typing import Any

from daemon.local_board.board import Call
from daemon.local_board.texts import dumps, loads
from daemon.local_board.times import precise

POLL_AFTER_S = 2
"""What the first answer says about when to ask (recorded)."""

TASKS_KEPT = 1_000
"""Tasks that can still be asked for."""


def accepted(call: Call, operation: str, result: dict[str, Any]) -> dict[str, Any]:
    """202 with a task in place of `result`.  operation: method and path template, as in
    "PATCH /v1/pages/:page_id/markdown".
    """
    identifier = "task_" + call.board.ids.uuid4().replace("-", "")
    call.db.execute(
        "INSERT INTO async_task(id, created, operation, result) VALUES (?, ?, ?, ?)",
        (identifier, call.now, operation, dumps(result)),
    )
    call.db.execute(
        "DELETE FROM async_task WHERE id IN"
        " (SELECT id FROM async_task ORDER BY created DESC LIMIT -1 OFFSET ?)",
        (TASKS_KEPT,),
    )
    call.status = 202
    return {
        **_head(call, identifier, "queued", call.now),
        "poll_after_seconds": POLL_AFTER_S,
        "operation": {"surface": "rest", "name": operation},
    }


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/async_tasks/{id}."""
    identifier = call.params["task_id"]
    row = call.db.execute("SELECT * FROM async_task WHERE id = ?", (identifier,)).fetchone()
    if row is None:
        raise call.not_found("async task", identifier)
    return {
        **_head(call, identifier, "succeeded", row["created"]),
        "operation": {"surface": "rest", "name": row["operation"]},
        "result": loads(row["result"]),
    }


def _head(call: Call, identifier: str, status: str, created: int) -> dict[str, Any]:
    return {
        "object": "async_task",
        "id": identifier,
        "status": status,
        "status_url": f"{call.base_url}/v1/async_tasks/{identifier}",
        "created_time": precise(created).replace("+00:00", "Z"),
    }
