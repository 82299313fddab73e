"""What this process has seen of each page, and when: so that a short task costs two calls and not four."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from daemon.core.claim import Claim
from daemon.core.task import Task

FRESH_S = 5.0
"""A page seen within this many seconds is acted on without reading it again. A person's edit wins (P4): the
window in which one could be overlooked stays shorter than a person's look from board to log."""

_KEEP = 4096


@dataclass(frozen=True, slots=True)
class Sight:
    """A task as it was at ``at`` (epoch s). ``direct``: from its own page, not from a query, which may lag.
    ``before``: for a query's, what the page itself showed last."""

    task: Task
    at: float
    direct: bool
    before: Task | None = None

    @property
    def doubtful(self) -> bool:
        """A query says something else than the page did: it may be older (pain 35)."""
        if self.before is None:
            return False
        one, other = self.task.claim, self.before.claim
        same = other is None if one is None else one.same_hold(other)
        return self.task.status is not self.before.status or not same


class Seen:
    """Thread-safe; newer sights win, whichever answer comes first."""

    def __init__(self, clock: Callable[[], float], *, keeps: bool = True) -> None:
        """``keeps`` False: nothing counts as fresh; other daemons write to the same pages."""
        self._clock = clock
        self._keeps = keeps
        self._lock = threading.Lock()
        self._sights: dict[str, Sight] = {}
        self._bare: dict[str, Claim] = {}

    def put(self, task: Task, at: float, *, direct: bool) -> None:
        """Remember ``task``. ``at``: when a read was *asked for*, or when a write was *answered*."""
        if not self._keeps:
            return
        with self._lock:
            held = self._bare.get(task.id)
            if held is not None and not held.same_hold(task.claim):
                del self._bare[task.id]
            known = self._sights.get(task.id)
            if known is None or at >= known.at:
                self._sights.pop(task.id, None)
                before = None if direct or known is None else known.task if known.direct else known.before
                self._sights[task.id] = Sight(task, at, direct, before)
            while len(self._sights) > _KEEP:
                del self._sights[next(iter(self._sights))]

    def fresh(self, task_id: str) -> Sight | None:
        """What was seen within FRESH_S and is not in doubt. A clock that went backwards makes everything
        stale."""
        with self._lock:
            known = self._sights.get(task_id)
        if known is None or known.doubtful:
            return None
        return known if 0 <= self._clock() - known.at <= FRESH_S else None

    def claimed_bare(self, task_id: str, claim: Claim) -> None:
        """``claim`` is the first that ever stood on this page: no section of ours is in its body yet."""
        if not self._keeps:
            return
        with self._lock:
            self._bare[task_id] = claim
            while len(self._bare) > _KEEP:
                del self._bare[next(iter(self._bare))]

    def take_bare(self, task_id: str) -> bool:
        """Whether the body is known to be without a section of ours; asked once, since one is added then.

        Not after the lease has ended, nor when the page was seen with another claim: then another host may
        have written its section.
        """
        with self._lock:
            held = self._bare.pop(task_id, None)
        return held is not None and self._clock() * 1000 < held.lease_until_ms

    def forget(self, task_id: str) -> None:
        """A write whose answer was lost: look again before acting."""
        with self._lock:
            self._sights.pop(task_id, None)
