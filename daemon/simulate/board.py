"""The board in memory with weather: outages, answers that get lost, writes that land late, stale queries, and
people. Only the daemons meet the weather; a person's edit always lands."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from daemon.core.claim import Claim, Verify, base_of
from daemon.core.errors import Ambiguous, Fenced, TransientError, Unreachable
from daemon.core.ports import PageWrite
from daemon.core.status import OURS, Status
from daemon.core.task import Draft, Task
from daemon.simulate.agenda import Agenda
from daemon.testing import MemoryBoard

OPEN = (Status.READY, *OURS)
PERSON = "person"
KEPT = 200
"""Pages whose past is kept before the older ones are forgotten."""

Changed = Callable[[str, Task | None, Task], None]
"""(who, before, after): called at every change of a page."""


@dataclass(slots=True, kw_only=True)
class Weather:
    """Chances per call, and spans. ``lag``: a stale query shows pages as they were up to so many seconds
    ago. ``late``: a write whose answer was lost may land so many seconds later; it stays below the first
    repeat of a last write (2 s), as the client's write timeout does."""

    refused: float = 0.0
    """The call fails and has no effect."""
    lost: float = 0.0
    """The write has its effect and the answer gets lost."""
    late: float = 0.0
    """The answer gets lost, and the write lands a moment later."""
    stale: float = 0.0
    """A query shows the past."""
    lag: float = 45.0
    races: bool = False
    """Claims without a common store take their time: up to ``Verify.in_time`` from the page's read to the
    write, in which others read and write, too."""
    overdue: float = 0.0
    """Such a claim is given up by its daemon, and lands up to ``overdue_s`` later over whatever is there."""
    overdue_s: float = 60.0


class SimulatedBoard(MemoryBoard):
    """``MemoryBoard`` with an index of open pages, weather, and a line in ``watch`` for every change."""

    def __init__(self, agenda: Agenda, rng: random.Random, weather: Weather) -> None:
        super().__init__(agenda.clock)
        self.agenda = agenda
        self.weather = weather
        self.watch: Changed = lambda who, before, after: None
        self.who = PERSON
        """Whose call this is; the hosts set it while they act."""
        self.on_call: Callable[[str], None] = lambda purpose: None
        """Before and after a daemon's call; may raise the death of its process."""
        self.changes = 0
        self.keyed: dict[str, str] = {}
        self._rng = rng
        self._down_until = 0.0
        self._landing = False
        self._open: dict[str, Task] = {}
        self._past: dict[str, list[tuple[float, Task | None]]] = {}

    def outage(self, seconds: float) -> None:
        """From now on no call is answered for so long."""
        self._down_until = max(self._down_until, self.agenda.now + seconds)

    @property
    def down(self) -> bool:
        """In an outage now?"""
        return self.agenda.now < self._down_until

    @property
    def open_pages(self) -> dict[str, Task]:
        """Ready, In Progress and Waiting, as they really are now."""
        return self._open

    def _now(self) -> datetime:
        # The board's own clock is right whatever the machine's clock says.
        return datetime.fromtimestamp(self.agenda.now, UTC)

    def _put(self, task: Task) -> Task:
        before = self.pages.get(task.id)
        task = replace(task, status_name=task.status.value if task.status else "", edited=self._now())
        if before is not None and replace(before, edited=task.edited) == task:
            return before
        self.pages[task.id] = task
        self.changes += 1
        if self.weather.stale or self.weather.races:
            self._remember(task.id, before)
        if task.status in OPEN:
            self._open[task.id] = task
        else:
            self._open.pop(task.id, None)
        if task.source_key:
            self.keyed[task.source_key] = task.id
        self.watch(self.who, before, task)
        return task

    def _remember(self, task: str, before: Task | None) -> None:
        oldest = self.agenda.now - self.weather.lag
        self._past[task] = [c for c in self._past.get(task, []) if c[0] > oldest]
        self._past[task].append((self.agenda.now, before))
        if len(self._past) > 2 * KEPT:
            self._past = {i: c for i, c in self._past.items() if c[-1][0] > oldest}

    # ── the daemon's calls ────────────────────────────────────────────────────────────────────────

    def _call(self, purpose: str) -> None:
        super()._call(purpose)
        if self.who == PERSON or self._landing:
            return
        self.on_call(purpose)
        if self.down:
            raise Unreachable("the board does not answer")
        if self.weather.refused and self._rng.random() < self.weather.refused:
            raise TransientError("503 from the board")

    def _written(self) -> None:
        """After a write took effect: the answer may get lost, or the process may die."""
        if self.who == PERSON or self._landing:
            return
        self.on_call("written")
        if self.weather.lost and self._rng.random() < self.weather.lost:
            raise Ambiguous("the answer to a write got lost")

    def _lands_late(self, land: Callable[[], Any]) -> None:
        if self.who == PERSON or not self.weather.late or self._rng.random() >= self.weather.late:
            return
        who = self.who

        def landing() -> None:
            before, self.who, self._landing = self.who, who, True
            try:
                land()
            finally:
                self.who, self._landing = before, False

        self.agenda.after(self._rng.uniform(0.1, 1.9), landing)
        raise Ambiguous("the board took too long over a write")

    def look(self) -> list[Task]:
        self._call("look")
        if self.weather.stale and self._rng.random() < self.weather.stale:
            shown = self._as_of(self.agenda.now - self._rng.uniform(0.0, self.weather.lag))
            return sorted(shown.values(), key=lambda t: t.created)
        return sorted(self._open.values(), key=lambda t: t.created)

    def _as_of(self, moment: float) -> dict[str, Task]:
        """The open pages as they were then; at most ``lag`` ago."""
        shown = dict(self._open)
        for task, changes in self._past.items():
            since = [before for at, before in changes if at > moment]
            if not since:
                continue
            shown.pop(task, None)
            if since[0] is not None and since[0].status in OPEN:
                shown[task] = since[0]
        return shown

    def claim(self, task: Task, claim: Claim, attempts: int) -> Task:
        before = self.pages.get(task.id)
        try:
            page = super().claim(task, claim, attempts)
        finally:
            after = self.pages.get(task.id)
        if after is not before:
            self._written()
        return page

    def claim_in_time(
        self, task: Task, claim: Claim, attempts: int, verify: Verify, over: Claim | None = None
    ) -> Task:
        """A call takes no virtual time, so one that took ``took`` seconds is one that read the page as it was
        that long ago and lands now."""
        if not self.weather.races or self.who == PERSON:
            return super().claim_in_time(task, claim, attempts, verify, over)
        self._call("claim")
        overdue = self._rng.random() < self.weather.overdue
        took = 0.0 if overdue else self._rng.uniform(0.0, verify.in_time)
        read = self._page_as_of(task.id, self.agenda.now - took)
        newer = base_of(read.claim) == claim.base < claim.generation
        free = read.status is Status.READY and newer
        if not (free if over is None else read.status is Status.IN_PROGRESS and read.claim == over):
            raise Fenced("the page is not free any more")

        def land() -> None:
            # What was decided on an older page may turn this one back: no rule for decisions applies to it.
            before, self.who = self.who, PERSON
            page = replace(self._page(task.id), status=Status.IN_PROGRESS)
            self._put(replace(page, claim=claim, attempts=attempts, why=""))
            self.who = before

        if overdue:
            self.agenda.after(self._rng.uniform(verify.in_time, self.weather.overdue_s), land)
            raise Ambiguous("the claim was not seen on the page in time")
        land()
        self._written()
        return self._page(task.id)

    def _page_as_of(self, task: str, moment: float) -> Task:
        for at, before in self._past.get(task, []):
            if at > moment and before is not None:
                return before
        return self._page(task)

    def write(self, task_id: str, held: Claim, change: PageWrite) -> Task:
        # Guarded when it lands, too: the client reads before it writes, within the same two seconds.
        def land() -> None:
            page = self.pages.get(task_id)
            if page is not None and held.same_hold(page.claim):
                MemoryBoard.write(self, task_id, held, change)

        self._lands_late(land)
        page = super().write(task_id, held, change)
        self._written()
        return page

    def note(self, task_id: str, *, why: str, status: Status | None = None) -> None:
        super().note(task_id, why=why, status=status)
        self._written()

    def create(self, draft: Draft) -> Task:
        known = self.keyed.get(draft.source_key) if draft.source_key else None
        if known is not None:
            self._call("create")
            return self.pages[known]
        # The parent looks through all pages for the key; there is none, as the index has just said.
        page = super().create(replace(draft, source_key=""))
        if draft.source_key:
            page = self._put(replace(page, source_key=draft.source_key))
        self._written()
        return page

    def remove(self, task_id: str) -> None:
        """A person trashes the page."""
        gone = self.pages.pop(task_id)
        self._open.pop(task_id, None)
        self.keyed.pop(gone.source_key, None)
        self.changes += 1

    def add(self, task: Task) -> Task:
        """Put a page that was read elsewhere on this board."""
        return self._put(task)
