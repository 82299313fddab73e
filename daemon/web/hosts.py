"""The hosts of the store as people and programs see them: who answers, what each offers, what it runs.

Read when a page is asked for, never in between. Pure, over rows that ``Hosts.all`` has read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daemon.core.status import RunState
from daemon.store import Run
from daemon.store.hosts import Host
from daemon.web import shapes

LISTED = 50
"""Hosts on the page; the API has all of them."""

_ORDER = ("here", "silent", "answers", "gone")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """One host. Durations are seconds by the database's clock, at the time of the question."""

    host: Host
    state: str
    """here | answers | silent | gone (docs/http.md)."""
    age: float | None
    """Since it was last seen. None = this host on a store that it has to itself: there nobody beats."""
    since: float
    """Since its boot."""
    agents: tuple[str, ...]
    volumes: tuple[str, ...]
    running: tuple[Run, ...]
    waiting: int
    """Its attempts that wait for something: they hold no place."""

    def json(self) -> dict[str, Any]:
        """One of ``hosts`` in /api/v1/state."""
        row = self.host
        return {
            "name": row.name,
            "state": self.state,
            "version": row.version,
            "since": row.joined,
            "seen": row.seen,
            "age_s": None if self.age is None else round(self.age, 3),
            "lease_s": row.lease,
            "gone": row.gone,
            "handlers": list(row.handlers),
            "offers": list(row.offers),
            "running": [shapes.brief(r) for r in self.running],
            "waiting": self.waiting,
        }


def roll(rows: Sequence[Host], active: Sequence[Run], *, me: str, shared: bool) -> list[HostView]:
    """``rows`` with what each does of ``active`` (attempts that are not over): this host (``me``) first, then
    the silent ones. ``shared``: whether other hosts can reach the store, so that beats are written."""
    work: dict[str, list[Run]] = {}
    for run in active:
        work.setdefault(run.host, []).append(run)
    found = [_view(row, work.get(row.name, []), me=me, shared=shared) for row in rows]
    return sorted(found, key=lambda view: (_ORDER.index(view.state), view.host.name))


def _view(row: Host, work: Sequence[Run], *, me: str, shared: bool) -> HostView:
    state = _state(row, me)
    alone = state == "here" and not shared
    running = tuple(r for r in work if r.state is not RunState.WAITING)
    return HostView(
        host=row,
        state=state,
        age=None if alone else row.age,
        since=row.age + row.seen - row.joined,
        agents=_offered(row, "agent:"),
        volumes=_offered(row, "volume:"),
        running=running,
        waiting=len(work) - len(running),
    )


def _state(row: Host, me: str) -> str:
    if row.gone:
        return "gone"
    if row.name == me:
        return "here"
    return "answers" if row.alive else "silent"


def _offered(row: Host, kind: str) -> tuple[str, ...]:
    return tuple(o.removeprefix(kind) for o in row.offers if o.startswith(kind))
