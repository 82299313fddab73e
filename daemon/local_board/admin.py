"""/_board/: what tests and simulations need and the service has not.  Every call needs the token, but for
file links.

| call | does |
|---|---|
| GET /_board/faults, POST {rule}, DELETE, DELETE /_board/faults/{n} | fault rules, see faults.py |
| GET /_board/events?after=N&type=T | the event log: every change with its time to the millisecond |
| POST /_board/clock {now} or {advance_ms} | stops or moves the board's clock |
| POST /_board/users {name, email} | another person; act as one with the header X-Board-Actor |
| GET, POST /_board/webhooks {url, events?, retry_base?}, DELETE /_board/webhooks/{id} | subscriptions |
| GET /_board/deliveries | what was delivered, and what is to be tried again |
| GET /_board/files/{id}/{name} | an upload's contents (no token: the link is the key, as the service's) |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from daemon.local_board import http
from daemon.local_board.board import Board
from daemon.local_board.errors import ApiError, invalid_request_url, validation
from daemon.local_board.faults import read_rule
from daemon.local_board.http import Answer, Request
from daemon.local_board.ids import parse_id
from daemon.local_board.texts import loads
from daemon.local_board.times import parse_datetime, precise, to_ms
from daemon.local_board.webhooks import RETRY_BASE_S

EVENTS_PAGE = 1000
"""Events of one answer."""


def answer(board: Board, request: Request, request_id: str) -> Answer:
    """One request below /_board/."""
    try:
        head, _, rest = request.path.partition("/")
        if head == "files" and request.method == "GET":
            return _file(board, rest, request_id)
        handler = _ACTIONS.get((request.method, head))
        if handler is None:
            raise invalid_request_url()
        body = http.parse_body(request)
        http.check_token(board, request.headers)
        if not isinstance(body, dict):
            raise validation("body should be an object.")
        return http.render(board, 200, handler(board, request, rest, body), request_id, {})
    except ApiError as error:
        return http.refuse(board, error, request_id)


def _file(board: Board, rest: str, request_id: str) -> Answer:
    identifier = parse_id(rest.partition("/")[0]) or ""
    with board.store.read() as db:
        row = db.execute(
            "SELECT * FROM upload WHERE id = ? AND status = 'uploaded'", (identifier,)
        ).fetchone()
        parts = db.execute(
            "SELECT data FROM upload_part WHERE upload = ? ORDER BY number",
            (row["key"] if row is not None else -1,),
        ).fetchall()
    if row is None:
        raise ApiError(404, "object_not_found", f"Could not find file upload with ID: {identifier}.")
    headers = {
        "content-type": row["content_type"] or "application/octet-stream",
        # Uploads may be HTML; they must not run beside whatever else is served from this origin.
        "content-disposition": "attachment",
        "x-content-type-options": "nosniff",
        "x-notion-request-id": request_id,
    }
    return Answer(status=200, body=b"".join(part["data"] for part in parts), headers=headers)


def _list_faults(board: Board, request: Request, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"faults": board.faults.describe()}


def _add_fault(board: Board, request: Request, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    rule = read_rule(body)
    snapshot = board.store.snapshot() if rule.kind == "stale_query" else None
    return {"id": board.faults.add(rule, snapshot)}


def _remove_faults(board: Board, request: Request, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    if rest and not rest.isdigit():
        raise validation("The id of a fault rule is a number.")
    return {"removed": board.faults.remove(int(rest) if rest else None)}


def _events(board: Board, request: Request, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    query = dict(parse_qsl(request.query_string))
    after = query.get("after", "0")
    if not after.isdigit():
        raise validation("after should be a number.")
    with board.store.read() as db:
        rows = db.execute(
            "SELECT * FROM event WHERE key > ? AND (? = '' OR type = ?) ORDER BY key LIMIT ?",
            (int(after), query.get("type", ""), query.get("type", ""), EVENTS_PAGE),
        ).fetchall()
    events = [
        {
            "number": row["key"],
            "at": precise(row["at"]),
            "author": row["author"],
            "type": row["type"],
            "entity": row["entity"],
            "data": loads(row["data"]),
        }
        for row in rows
    ]
    return {"events": events}


def _clock(board: Board, request: Request, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    fixed = None
    if "now" in body:
        moment = parse_datetime(str(body["now"]))
        if moment is None or moment.tzinfo is None:
            raise validation("now should be a date and time with an offset.")
        fixed = to_ms(moment)
    advance = body.get("advance_ms", 0)
    if not isinstance(advance, int):
        raise validation("advance_ms should be a whole number.")
    return {"now": precise(board.set_clock(fixed_ms=fixed, advance_ms=advance))}


def _add_user(board: Board, request: Request, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    identifier = parse_id(str(body["id"])) if "id" in body else board.ids.uuid4()
    if identifier is None or not isinstance(body.get("name"), str):
        raise validation("A user has a name, and an id that is a uuid.")
    with board.store.write() as db:
        db.execute(
            "INSERT INTO user(id, kind, name, email, position) VALUES (?, 'person', ?, ?,"
            " (SELECT max(position) + 1 FROM user))",
            (identifier, body["name"], body.get("email", "")),
        )
    return {"id": identifier}


def _list_webhooks(board: Board, request: Request, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"webhooks": board.webhooks.subscriptions()}


def _add_webhook(board: Board, request: Request, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    events = body.get("events", [])
    if not isinstance(body.get("url"), str) or not isinstance(events, list):
        raise validation("A webhook has a url, and events that are an array.")
    return board.webhooks.subscribe(body["url"], events, float(body.get("retry_base", RETRY_BASE_S)))


def _remove_webhook(board: Board, request: Request, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"removed": board.webhooks.unsubscribe(rest)}


def _deliveries(board: Board, request: Request, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"deliveries": board.webhooks.deliveries()}


_Action = Callable[[Board, Request, str, dict[str, Any]], dict[str, Any]]
_ACTIONS: dict[tuple[str, str], _Action] = {
    ("GET", "faults"): _list_faults,
    ("POST", "faults"): _add_fault,
    ("DELETE", "faults"): _remove_faults,
    ("GET", "events"): _events,
    ("POST", "clock"): _clock,
    ("POST", "users"): _add_user,
    ("GET", "webhooks"): _list_webhooks,
    ("POST", "webhooks"): _add_webhook,
    ("DELETE", "webhooks"): _remove_webhook,
    ("GET", "deliveries"): _deliveries,
}
