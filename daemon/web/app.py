"""Routes, and the room around them. What is listed here is all that the server answers."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from daemon.core.errors import HandoffdError
from daemon.store.hosts import Hosts
from daemon.web import actions, api, health, room, views, webhooks
from daemon.web.access import Access
from daemon.web.answers import Refusal, of_status, refusal_of
from daemon.web.guard import Guard
from daemon.web.parts import WebParts
from daemon.web.render import STATIC, Pages
from daemon.web.room import Room
from daemon.web.shelf import Shelf
from daemon.web.stream import Stream


def static(request: Request) -> Response:
    """A file of the style sheet's table; its address carries its hash, so it may be kept for ever."""
    pages = room.of(request).pages
    name = request.path_params["name"]
    if name not in STATIC:
        raise Refusal(404, "not_found", "There is no such file.")
    fresh = request.query_params.get("v") == pages.versions[name]
    kept = "public, max-age=31536000, immutable" if fresh else "no-cache"
    return Response(pages.static[name], media_type=STATIC[name], headers={"cache-control": kept})


ROUTES = [
    Route("/", views.overview),
    Route("/tasks", views.tasks, methods=["GET"]),
    Route("/tasks/add", actions.add, methods=["POST"]),
    Route("/tasks/{task}", views.task, methods=["GET"]),
    Route("/tasks/{task}/status", actions.set_status, methods=["POST"]),
    Route("/runs", views.runs),
    Route("/runs/{run}", views.run),
    Route("/handoffs", views.handoffs),
    Route("/agents", views.agents),
    Route("/reports", views.reports),
    Route("/reports/{run}", views.report),
    Route("/reports/{run}/{name}", views.report_file),
    Route("/schedules", views.schedules),
    Route("/handlers", views.handlers),
    Route("/health", views.health),
    Route("/health/pairing", actions.pair, methods=["POST"]),
    Route("/refresh", actions.look_now, methods=["POST"]),
    Route("/theme", actions.theme, methods=["POST"]),
    Route("/login", actions.login_page, methods=["GET"]),
    Route("/login", actions.login, methods=["POST"]),
    Route("/logout", actions.logout, methods=["POST"]),
    Route("/static/{name}", static),
    Route("/healthz", health.live),
    Route("/readyz", health.ready),
    Route("/metrics", health.metrics),
    Route("/api/v1/state", api.state),
    Route("/api/v1/tasks/{task}", api.task),
    Route("/api/v1/runs/{run}", api.run),
    Route("/api/v1/events", api.events),
    Route("/api/v1/refresh", api.refresh, methods=["POST"]),
    Route("/webhooks/notion", webhooks.notion, methods=["POST"]),
    Route("/webhooks/music", webhooks.music, methods=["POST"]),
]


def build(parts: WebParts, host: str, port: int) -> tuple[ASGIApp, Room]:
    """The ASGI app for a server bound to ``host`` and ``port``, and the room that it serves."""
    here = Room(
        parts=parts,
        access=Access(host, parts.token, parts.host_name, parts.clock),
        pages=Pages(parts.templates, parts.clock),
        shelf=Shelf(parts.board, parts.snapshot, parts.clock, local=parts.local),
        stream=Stream(parts.store, parts.snapshot),
        desk=webhooks.open_desk(parts.notion_webhook_secret, _deliveries(parts)),
        hosts=Hosts(parts.store.engine),
    )

    async def refused(request: Request, error: Exception) -> Response:
        return here.answer(request.scope, _refusal(error))

    app = Starlette(
        routes=ROUTES,
        exception_handlers={
            Refusal: refused,
            HandoffdError: refused,
            HTTPException: refused,
            Exception: refused,
        },
    )
    # "/tasks/" is not another address of "/tasks": one page, one address.
    app.router.redirect_slashes = False
    app.state.room = here
    guard = Guard(app, access=here.access, port=port, board=parts.local_board, answer=here.answer)
    return guard, here


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, HandoffdError):
        return refusal_of(error)
    if isinstance(error, HTTPException):
        refusal = of_status(error.status_code)
        refusal.headers.update(error.headers or {})
        return refusal
    hint = "the log has the details; please report it"
    return Refusal(500, "bug", "Something went wrong in the dashboard.", hint)


def _deliveries(parts: WebParts) -> list[tuple[str, float]]:
    recent = parts.store.last_events(webhooks.RECALL)
    return [(str(e.data.get("event_id", "")), e.at) for e in recent if e.name == webhooks.EVENT]
