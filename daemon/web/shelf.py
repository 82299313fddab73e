"""What the board says of tasks that a tick does not read: drafts, and what waits for a person.

A tick reads Ready, In Progress and Waiting. The columns Draft, Review, Blocked and Failed are read here, in
one background thread, only while somebody looks, and never more than a twentieth of the time: a page shows
the last reading at once and says how old it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from daemon.core.errors import HandoffdError
from daemon.core.ports import Board
from daemon.core.snapshot import Snapshot
from daemon.core.status import Status
from daemon.core.task import Task

T = TypeVar("T")

READ = (Status.DRAFT, Status.PLANNING, Status.REVIEW, Status.BLOCKED, Status.FAILED)
SHARE = 20.0
"""A reading that took t seconds is not repeated for at least 20 t."""
LOCAL_AGE = 3.0
REMOTE_AGE = 60.0
"""Seconds that a reading serves: five calls a minute of the 180 that Notion grants, while a page is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The board as far as it is known. ``read_at`` None: the extra columns were never read; ``error`` says
    why the last try failed."""

    tasks: tuple[Task, ...]
    read_at: float | None
    error: str

    def by_status(self, *statuses: Status) -> list[Task]:
        """Tasks with one of ``statuses``, newest change first."""
        return sorted((t for t in self.tasks if t.status in statuses), key=lambda t: t.edited, reverse=True)


class Shelf:
    """One reader for the room. ``clock`` gives epoch seconds."""

    def __init__(
        self,
        board: Board | None,
        snapshot: Callable[[], Snapshot],
        clock: Callable[[], float],
        *,
        local: bool,
    ) -> None:
        self._board = board
        self._snapshot = snapshot
        self._clock = clock
        self._age = LOCAL_AGE if local else REMOTE_AGE
        self._lock = threading.Lock()
        # One thread apart from the request pool: in local mode the board answers on this same server.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="web-board")
        self._reading: Future[None] | None = None
        self._extra: dict[str, Task] = {}
        self._changed: dict[str, tuple[float, Task]] = {}
        self._read_at: float | None = None
        self._next = 0.0
        self._error = ""

    def see(self) -> Seen:
        """The latest knowledge, at once; a new reading starts in the background when this one is old."""
        snapshot = self._snapshot()
        looked = snapshot.looked_at or 0.0
        self._refresh()
        with self._lock:
            found = dict(self._extra)
            found.update({t.id: t for t in snapshot.tasks})
            self._changed = {i: c for i, c in self._changed.items() if self._newer(c[0], looked)}
            found.update({i: task for i, (_, task) in self._changed.items()})
            return Seen(tasks=tuple(found.values()), read_at=self._read_at, error=self._error)

    def _newer(self, changed: float, looked: float) -> bool:
        return changed > looked or changed > (self._read_at or 0.0)

    def _refresh(self) -> None:
        with self._lock:
            busy = self._reading is not None and not self._reading.done()
            if self._board is None or busy or self._clock() < self._next:
                return
            self._reading = self._pool.submit(self._read, self._board)

    def _read(self, board: Board) -> None:
        began = self._clock()
        found: dict[str, Task] = {}
        error = ""
        try:
            for status in READ:
                found.update({t.id: t for t in board.list(status)})
        except HandoffdError as fault:
            error = fault.one_line()
        ended = self._clock()
        with self._lock:
            self._error = error
            self._next = ended + max(self._age, SHARE * (ended - began))
            if not error:
                self._extra, self._read_at = found, began

    def left_alone(self, seen: Seen) -> bool:
        """Whether nobody has looked for a while: a page that is open has it read at least twice as often."""
        return seen.read_at is None or self._clock() - seen.read_at > 2.0 * self._age

    def settle(self, seconds: float) -> None:
        """Wait until a reading that is under way has ended, ``seconds`` at most."""
        reading = self._reading
        if reading is not None and not reading.done():
            done = threading.Event()
            reading.add_done_callback(lambda _: done.set())
            done.wait(seconds)

    def act(self, change: Callable[[Board], Task]) -> Task:
        """Carry out a person's change on the board and show its result from now on."""
        if self._board is None:
            raise HandoffdError("this dashboard has no board to write to", hint="start the daemon with one")
        task = self._pool.submit(change, self._board).result()
        with self._lock:
            self._changed[task.id] = (self._clock(), task)
        return task

    def get(self, task_id: str) -> Task:
        """One task: as last seen, else asked of the board. NotFound when neither has it."""
        known = next((t for t in self.see().tasks if t.id == task_id), None)
        if known is not None:
            return known
        return self.act_read(lambda board: board.get(task_id))

    def act_read(self, read: Callable[[Board], T]) -> T:
        """Run ``read`` on the board's thread and wait for its answer."""
        if self._board is None:
            raise HandoffdError("this dashboard has no board to read", hint="start the daemon with one")
        return self._pool.submit(read, self._board).result()

    def close(self) -> None:
        """Start nothing more; what runs ends by its own time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def count(tasks: Sequence[Task]) -> dict[Status, int]:
    """Status → how many of ``tasks`` have it."""
    out: dict[Status, int] = {}
    for task in tasks:
        if task.status is not None:
            out[task.status] = out.get(task.status, 0) + 1
    return out
