"""/api/v1: the same facts as the pages, for programs."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from daemon.core import ids
from daemon.core.errors import NotFound
from daemon.store import Run
from daemon.web import room, shapes
from daemon.web.answers import Refusal
from daemon.web.overview import Next, Working
from daemon.web.stream import Stream

ATTEMPTS = 200
"""Attempts of one task that are listed."""


def task_id(text: str) -> str:
    """The normalised id in an address; Refusal 404 when it is none."""
    try:
        return ids.normalise(text)
    except ValueError:
        raise Refusal(404, "not_found", "That is not the id of a task.", "32 hex digits") from None


def run_of(request: Request) -> Run:
    """The attempt that the address names; Refusal 404 when there is none."""
    text = request.path_params["run"]
    try:
        ids.split_run_id(text)
    except ValueError:
        hint = "<task id, 32 hex digits>.g<number>"
        raise Refusal(404, "not_found", "That is not the id of a run.", hint) from None
    found = room.of(request).parts.store.run(text)
    if found is None:
        hint = "it may have been removed by the retention (store.retention)"
        raise Refusal(404, "not_found", "There is no run with this id.", hint)
    return found


def state(request: Request) -> Response:
    """What the overview shows."""
    here = room.of(request)
    view = here.overview()
    snapshot = view.snapshot
    body = {
        "version": here.parts.version,
        "host": here.parts.host_name,
        "local": here.parts.local,
        "generated_at": view.now,
        "started_at": snapshot.started_at,
        "ticked_at": snapshot.at,
        "ticks": snapshot.ticks,
        "next_tick": snapshot.next_tick,
        "looked_at": snapshot.looked_at,
        "board": None
        if snapshot.board is None
        else {"title": snapshot.board.title, "url": snapshot.board.url, "missing": snapshot.board.missing},
        "board_error": snapshot.board_error,
        "board_calls": dict(snapshot.board_calls),
        "settings_error": snapshot.settings_error,
        "draining": snapshot.draining,
        "places": snapshot.places,
        "counts": dict(view.counts),
        "attention": [need.json() for need in view.needs],
        "running": [_working(w) for w in view.working],
        "ready": [_ready(n) for n in view.upcoming],
        "recent": [shapes.brief(r) for r in view.recent],
        "hosts": [h.json() for h in view.hosts],
        "handlers": [
            {n: getattr(h, n) for n in ("name", "state", "dist", "version", "reason")}
            for h in snapshot.handlers
        ],
        "schedules": [dict(s) for s in snapshot.schedules],
    }
    return JSONResponse(body)


def _working(item: Working) -> dict[str, object]:
    return shapes.brief(item.run) | {"step": item.step.name if item.step else None}


def _ready(item: Next) -> dict[str, object]:
    said = None if item.decision is None else shapes.why(item.decision)
    return {"id": item.task.id, "title": item.task.title, "decision": said}


def task(request: Request) -> Response:
    """One task as the board has it; from its last attempt's record when the board has it no more."""
    here = room.of(request)
    identifier = task_id(request.path_params["task"])
    runs = here.parts.store.runs(task=identifier, limit=ATTEMPTS)
    decision = here.parts.store.decision(identifier)
    try:
        found = here.shelf.get(identifier)
    except NotFound as error:
        raise Refusal(404, error.code, error.message, error.hint) from error
    return JSONResponse(shapes.task(found, runs, decision))


def run(request: Request) -> Response:
    """One attempt with steps, gates, evidence and files."""
    found = run_of(request)
    store = room.of(request).parts.store
    return JSONResponse(
        shapes.run(found, store.steps(found.run), store.gates(found.run), store.evidence(found.run))
    )


async def refresh(request: Request) -> Response:
    """Look at the board now. 202: the look happens on the daemon's own time."""
    await run_in_threadpool(room.of(request).parts.refresh)
    return JSONResponse({"refresh": "asked"}, 202)


async def events(request: Request) -> Response:
    """Server-sent events; ``Last-Event-ID`` (or ``?after=``) resumes behind that event."""
    stream = room.of(request).stream
    asked = request.headers.get("last-event-id") or request.query_params.get("after", "")
    after = int(asked) if asked.isdecimal() and len(asked) < 16 else None
    stream.enter()
    return _Live(stream, stream.follow(after))


class _Live(StreamingResponse):
    """A stream that gives its place back however it ends."""

    def __init__(self, stream: Stream, lines: AsyncIterator[bytes]) -> None:
        super().__init__(lines, media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.leave()
