"""What a person may do from a page: add a task, set it Ready, cancel it, look now, sign in, pair a webhook.

The guard has checked origin, CSRF token and sign-in before anything here runs.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daemon.core.errors import HandoffdError
from daemon.core.status import Status
from daemon.core.task import Draft, Priority
from daemon.core.text import visible
from daemon.web import room, webhooks
from daemon.web.access import COOKIE, SESSION
from daemon.web.answers import Refusal, refusal_of
from daemon.web.api import task_id
from daemon.web.render import web_url
from daemon.web.views import board_view

MAY_SET = {"ready": Status.READY, "cancelled": Status.CANCELLED, "completed": Status.COMPLETED}
"""Statuses that the dashboard sets; everything else is the board's own business."""
TITLE = 300
_OWN_PATH = re.compile(r"/(?!/)[A-Za-z0-9._/-]*")
TEXT = 20_000


def set_status(request: Request) -> Response:
    """Set a task Ready (also: again), Cancelled, or Completed after a review."""
    here = room.of(request)
    identifier = task_id(request.path_params["task"])
    wanted = MAY_SET.get(room.sent(request).form.get("to", ""))
    if wanted is None:
        raise Refusal(422, "status", "That status can't be set here.", f"one of: {', '.join(MAY_SET)}")
    here.shelf.act(lambda board: board.set_status(identifier, wanted))
    here.parts.store.event("task.status_set", task=identifier, status=wanted.value, by="dashboard")
    here.parts.refresh()
    return RedirectResponse(_back(request, f"/tasks/{identifier}"), 303)


def add(request: Request) -> Response:
    """Create a task from the form; the form's own key makes a second press of the button harmless."""
    here = room.of(request)
    form = dict(room.sent(request).form)
    problem = _problem(form)
    if problem is None:
        draft = _draft(form)
        try:
            made = here.shelf.act(lambda board: board.create(draft))
        except HandoffdError as error:
            problem = refusal_of(error)
        else:
            here.parts.store.event("task.added", task=made.id, by="dashboard")
            here.parts.refresh()
            return RedirectResponse(f"/tasks/{made.id}", 303)
    return here.page(
        request, "tasks", status=problem.status, **board_view(here, request, form=form, problem=problem)
    )


def _problem(form: dict[str, str]) -> Refusal | None:
    title = form.get("title", "").strip()
    if not title or len(title) > TITLE:
        return Refusal(422, "title", f"A task needs a title of 1 to {TITLE} characters.")
    if any(len(v) > TEXT for v in form.values()):
        return Refusal(422, "text", f"A field is longer than {TEXT} characters.")
    if form.get("url", "").strip() and not web_url(form["url"]):
        return Refusal(422, "url", "The URL is not an http or https address.")
    if Priority.parse(form.get("priority", "")) is None:
        return Refusal(422, "priority", "That is no priority.", "Critical, High, Medium or Low")
    return None


def _draft(form: dict[str, str]) -> Draft:
    key = form.get("key", "")
    return Draft(
        title=" ".join(visible(form["title"]).split()),
        status=Status.DRAFT if form.get("draft") else Status.READY,
        priority=Priority.parse(form.get("priority", "")) or Priority.MEDIUM,
        handler=form.get("handler", "").strip(),
        agent=form.get("agent", "").strip(),
        url=form.get("url", "").strip(),
        description=form.get("description", "").replace("\r\n", "\n").strip(),
        parameters=form.get("parameters", "").replace("\r\n", "\n").strip(),
        acceptance=tuple(line.strip() for line in form.get("criteria", "").splitlines() if line.strip()),
        source_key=f"dashboard:{key}" if key.isalnum() and len(key) <= 40 else "",
    )


def look_now(request: Request) -> Response:
    """Ask for a look at the board."""
    room.of(request).parts.refresh()
    return RedirectResponse(_back(request, "/"), 303)


def theme(request: Request) -> Response:
    """Keep the choice of colours in a cookie."""
    chosen = room.sent(request).form.get("theme", "")
    answer = RedirectResponse(_back(request, "/"), 303)
    if chosen in room.THEMES:
        answer.set_cookie("theme", chosen, max_age=31_536_000, samesite="strict", httponly=True)
    return answer


def login_page(request: Request) -> Response:
    """The form that asks for the token."""
    return room.of(request).page(request, "login", wrong=False)


def login(request: Request) -> Response:
    """The right token gives a session cookie."""
    here = room.of(request)
    value = here.access.sign_in(room.sent(request).form.get("token", ""))
    if value is None:
        return here.page(request, "login", status=401, wrong=True)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(COOKIE, value, max_age=int(SESSION), samesite="strict", httponly=True)
    return answer


def logout(request: Request) -> Response:
    """Forget the session in this browser."""
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, samesite="strict", httponly=True)
    return answer


def pair(request: Request) -> Response:
    """Open the webhook's pairing for ten minutes; only while no secret is set."""
    here = room.of(request)
    if here.parts.keep_webhook_secret is None or here.desk.secret is not None:
        raise Refusal(409, "paired", "A webhook secret is set, or this daemon can't keep one.")
    with here.desk.lock:
        here.desk.open_until = here.parts.clock() + webhooks.PAIRING
    here.parts.store.event("webhook.pairing_opened", seconds=webhooks.PAIRING)
    return RedirectResponse("/health", 303)


def _back(request: Request, otherwise: str) -> str:
    """The page of ours that the form was on. A path only: a form must not send a person elsewhere."""
    asked = room.sent(request).form.get("back", "")
    return asked if _OWN_PATH.fullmatch(asked) else otherwise
