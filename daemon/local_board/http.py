"""One request from bytes to bytes, in the service's order of refusals.

URL and method, JSON, Authorization, Notion-Version, query string, ids in the path, and then the endpoint
(body schema, objects, properties, cursor).  Measured.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from daemon.local_board import errors, mentions, query_string, shapes
from daemon.local_board.board import Board, Call
from daemon.local_board.errors import ApiError
from daemon.local_board.forms import read_form
from daemon.local_board.ids import parse_id
from daemon.local_board.routes import Route
from daemon.local_board.small_endpoints import check_basic
from daemon.local_board.texts import encode

BODY_LIMIT = 512_000
"""Bytes of a request body (documented: 500 kB), but for file parts."""

PART_LIMIT = 21_000_000
"""Bytes of a request that sends a file part: 20 MB and its multipart frame."""

SAFE_INTEGER = 2**53
"""Largest whole number that a double holds exactly."""

NOT_UUIDS = frozenset({"property_id", "task_id"})
"""Names in path templates that stand for other ids."""

ACTOR_HEADER = "x-board-actor"
"""Not in the service: id of a user who acts in place of the bot, so that tests can edit as a person would."""

log = logging.getLogger("daemon.local_board")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in: path below /v1/ and decoded; headers by lower-case name."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes
    base_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes out."""

    status: int
    body: bytes
    headers: dict[str, str]


def too_large(board: Board, request_id: str) -> Answer:
    """413 has the shape of the web framework below the service, not the API's: an error id instead of the
    request's, which only the header names (measured).
    """
    body = {
        "isNotionError": False,
        "errorId": board.ids.uuid4(),
        "name": "PayloadTooLargeError",
        "message": "Request body too large.",
        "code": 413,
    }
    return _rendered(413, encode(body), request_id, {})


def parse_body(request: Request) -> Any:
    """The JSON body; none is an empty object, and so is that of a form."""
    form = request.headers.get("content-type", "").startswith("multipart/form-data")
    if not request.body or form:
        return {}
    try:
        value = json.loads(request.body, parse_constant=_no_constant, parse_int=_whole)
    except (ValueError, RecursionError):
        raise errors.invalid_json() from None
    if not isinstance(value, (dict, list)):
        raise errors.invalid_json()
    return _scrub(value) if b"\\u" in request.body else value


def _whole(digits: str) -> int | float:
    """Whole numbers are doubles on the service: behind 2^53 they lose digits instead of growing."""
    value = int(digits) if len(digits) < 17 else float(digits)
    return value if abs(value) <= SAFE_INTEGER else float(value)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _scrub(value: Any) -> Any:
    """Lone surrogates, which JSON can spell and UTF-8 cannot, become U+FFFD as on the service."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    if isinstance(value, dict):
        return {_scrub(name): _scrub(item) for name, item in value.items()}
    return value


def check_token(board: Board, headers: dict[str, str]) -> None:
    """401 unless the one token is presented as "Bearer <token>" (the scheme in any case, exactly two words,
    any white space between them).
    """
    words = headers.get("authorization", "").split()
    if len(words) != 2 or words[0].lower() != "bearer":
        raise errors.unauthorized('Authorization header must use the format "Bearer <token>".')
    if words[1] != board.config.token:
        raise errors.unauthorized()


def authorize(board: Board, route: Route, headers: dict[str, str]) -> None:
    """The authorization that the route asks for."""
    if route.basic:
        check_basic(board, headers)
    else:
        check_token(board, headers)


def check_version(headers: dict[str, str]) -> str:
    """The Notion-Version, or the refusal of a missing, unknown or unserved one."""
    version = headers.get("notion-version")
    if version is None or version not in errors.PUBLISHED_VERSIONS:
        raise errors.missing_version(version)
    if version not in errors.SERVED_VERSIONS:
        raise errors.unserved_version(version)
    return version


def parse_params(params: dict[str, str]) -> dict[str, str]:
    """Ids of the path in dashed form; ids of other kinds are left alone."""
    out: dict[str, str] = {}
    lines: list[str] = []
    for name, value in params.items():
        parsed = value if name in NOT_UUIDS else parse_id(value)
        if parsed is None:
            lines.append(f"path.{name} should be a valid uuid, instead was {errors.quote(value)}.")
        else:
            out[name] = parsed
    if lines:
        raise errors.failed("path", lines)
    return out


def actor(board: Board, db: sqlite3.Connection, headers: dict[str, str]) -> str:
    """Who acts: the bot, or the known user named by the test header."""
    named = parse_id(headers.get(ACTOR_HEADER, ""))
    if named is None:
        return board.bot_id
    row = db.execute("SELECT id FROM user WHERE id = ?", (named,)).fetchone()
    return named if row is not None else board.bot_id


@contextmanager
def transaction(
    board: Board, route: Route, snapshot: sqlite3.Connection | None
) -> Iterator[sqlite3.Connection]:
    """The writing transaction, a reading one, or an old snapshot where a fault asks for it."""
    if snapshot is not None:
        yield snapshot
    elif route.writes:
        try:
            with board.store.write() as db:
                yield db
        except BaseException:
            board.forget_schemas()
            raise
    else:
        with board.store.read() as db:
            yield db


def perform(
    board: Board,
    request: Request,
    route: Route,
    params: dict[str, str],
    body: Any,
    request_id: str,
    snapshot: sqlite3.Connection | None = None,
) -> tuple[dict[str, Any], Call]:
    """Everything from the query string on: the endpoint's answer and the call that made it."""
    version = check_version(request.headers)
    query = query_string.parse(request.query_string, route.query, open_ended=route.open_query)
    parsed = parse_params(params)
    if request.method == "GET":
        # No GET takes a member of a body (measured).
        shapes.check_body(body, shapes.obj({}))
    with transaction(board, route, snapshot) as db:
        call = Call(
            board=board,
            db=db,
            version=version,
            now=board.now_ms(),
            actor=actor(board, db, request.headers),
            base_url=board.config.public_url or request.base_url,
            request_id=request_id,
            params=parsed,
            query=query,
            body=body,
            form=read_form(request.headers.get("content-type", ""), request.body),
        )
        answer = route.handler(call)
    if call.pending:
        with board.store.write() as db:
            for work in call.pending:
                work(db)
    return answer, call


def render(board: Board, status: int, body: dict[str, Any], request_id: str, extra: dict[str, str]) -> Answer:
    """The answer's bytes and headers."""
    return _rendered(status, encode(body), request_id, extra)


def render_call(call: Call, body: dict[str, Any]) -> Answer:
    """The same for an endpoint's answer, whose mentions are completed first."""
    answer = encode(body)
    if mentions.MARK.encode() in answer:
        with call.board.store.read() as db:
            mentions.resolve(replace(call, db=db), body)
        answer = encode(body)
    return _rendered(call.status, answer, call.request_id, {})


def _rendered(status: int, body: bytes, request_id: str, extra: dict[str, str]) -> Answer:
    headers = {"content-type": "application/json; charset=utf-8", "x-notion-request-id": request_id, **extra}
    return Answer(status=status, body=body, headers=headers)


def refuse(board: Board, error: ApiError, request_id: str) -> Answer:
    """An error as an answer."""
    return render(board, error.status, error.body(request_id), request_id, error.headers)
