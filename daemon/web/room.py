"""What every endpoint has at hand, and how a page is put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from daemon.core.snapshot import Snapshot
from daemon.store.hosts import Hosts
from daemon.web.access import Access
from daemon.web.answers import Refusal, envelope, for_programs
from daemon.web.attention import stale
from daemon.web.guard import Sent
from daemon.web.hosts import HostView, roll
from daemon.web.overview import Overview, gather
from daemon.web.parts import WebParts
from daemon.web.render import Pages
from daemon.web.shelf import Seen, Shelf
from daemon.web.stream import Stream

if TYPE_CHECKING:
    from daemon.web.webhooks import Desk

NAV = (
    ("/", "Overview"),
    ("/tasks", "Tasks"),
    ("/runs", "Runs"),
    ("/handoffs", "Handoffs"),
    ("/reports", "Reports"),
    ("/schedules", "Schedules"),
    ("/handlers", "Handlers"),
    ("/health", "Health"),
)
THEMES = ("auto", "light", "dark")

FIRST_LOOK = 0.5
"""Seconds that a page waits for the columns that no tick reads, when nobody has looked for a while."""


@dataclass(slots=True, kw_only=True)
class Room:
    """One server's parts. ``access`` knows the bind, ``desk`` the webhooks' state."""

    parts: WebParts
    access: Access
    pages: Pages
    shelf: Shelf
    stream: Stream
    desk: Desk
    hosts: Hosts
    _totals: tuple[tuple[int, float], dict[tuple[str, str], int]] | None = None

    def see(self) -> Seen:
        """The board as known; waits a moment when it was never read, or last before somebody came back."""
        seen = self.shelf.see()
        if not seen.error and self.shelf.left_alone(seen):
            self.shelf.settle(FIRST_LOOK)
            seen = self.shelf.see()
        return seen

    def overview(self) -> Overview:
        """Everything of the first page."""
        parts = self.parts
        return gather(
            parts.store,
            parts.snapshot(),
            self.see(),
            totals=self.totals(),
            hosts=self.hosts,
            me=parts.host_name,
            interval=parts.interval,
            now=parts.clock(),
        )

    def fleet(self) -> list[HostView]:
        """The hosts of the store, this one first."""
        active = self.parts.store.active_runs()
        return roll(self.hosts.all(), active, me=self.parts.host_name, shared=self.hosts.shared)

    def totals(self) -> Mapping[tuple[str, str], int]:
        """(handler, state) → attempts; counted again when the event log has grown, and every half minute."""
        newest = self.parts.store.last_events(1)
        key = (newest[-1].id if newest else 0, self.parts.clock() // 30.0)
        if self._totals is None or self._totals[0] != key:
            self._totals = (key, self.parts.store.counts())
        return self._totals[1]

    def page(self, request: Request, name: str, *, status: int = 200, **values: Any) -> Response:
        """The template ``name`` inside the frame that all pages share."""
        return HTMLResponse(self.pages.render(name, self._frame(request.scope) | values), status)

    def answer(self, scope: Scope, refusal: Refusal) -> Response:
        """A refusal as an envelope or a page, by who asks."""
        if for_programs(scope["path"]):
            return envelope(refusal)
        text = self.pages.render("error", self._frame(scope) | {"refusal": refusal})
        return HTMLResponse(text, refusal.status, refusal.headers)

    def _frame(self, scope: Scope) -> dict[str, Any]:
        request = Request(scope)
        snapshot = self.parts.snapshot()
        signed_in = self.access.signed_in(request.headers)
        may_read = self.access.may_read(request.headers)
        theme = request.cookies.get("theme", "auto")
        return {
            "path": scope["path"],
            "section": next((p for p, _ in NAV[1:] if scope["path"].startswith(p)), scope["path"]),
            "nav": NAV if may_read else (),
            "theme": theme if theme in THEMES else "auto",
            "csrf": self.access.csrf,
            "signed_in": signed_in,
            "has_token": self.access.has_token,
            "needs_sign_in": self.access.has_token and not signed_in,
            "may_act": (signed_in if self.access.has_token else self.access.loopback)
            and self.parts.board is not None,
            "version": self.parts.version,
            "host_name": self.parts.host_name if may_read else "",
            "local": self.parts.local,
            "snapshot": snapshot if may_read else None,
            "stale": self._stale(snapshot) if may_read else None,
        }

    def _stale(self, snapshot: Snapshot) -> float | None:
        return stale(snapshot, self.parts.interval, self.parts.clock())


def of(request: Request) -> Room:
    """The room that serves ``request``."""
    return cast(Room, request.app.state.room)


def sent(request: Request) -> Sent:
    """The request's body, as the guard has read it."""
    return cast(Sent, request.scope["sent"])
