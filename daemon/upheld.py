"""A claim that was proved stands: what comes to light beside it later, and is older, is void.

For daemons that share a board and no store (``claim.mode = "verify"``). The service may apply a write long
after its daemon has given it up. Each claim tells the generation that stood on the page when it was decided
on. One with an earlier generation than ours there, found on the page after our read-back, was decided on
before ours and counts for nobody (docs/claims.md): whoever holds the proved one writes it back, at once while
its run is under way, and after its end when the text was watched for a lease without a change, so that nobody
who lives is meant.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from daemon.core.claim import Claim, Verify, parse, void
from daemon.core.errors import Fenced, HandoffdError, TransientError
from daemon.core.ports import PageWrite
from daemon.core.status import OURS, RunState, Status
from daemon.rivals import Rivals

if TYPE_CHECKING:
    from daemon.core.ports import Board
    from daemon.core.task import Task
    from daemon.sdk import Log
    from daemon.store import Run, Store

UNDER_WAY = frozenset({RunState.RUNNING, RunState.WAITING})

SAID = {
    RunState.RUNNING: Status.IN_PROGRESS,
    RunState.WAITING: Status.WAITING,
    RunState.COMPLETED: Status.COMPLETED,
    RunState.FAILED: Status.FAILED,
    RunState.BLOCKED: Status.BLOCKED,
    RunState.REVIEW: Status.REVIEW,
    RunState.RETRYING: Status.READY,
}
"""What the page says of an attempt. Of one that was cancelled a person had said it, and of one that was
released nothing: these are left alone."""

WATCHED = 1.0
"""Leases: a daemon that lives writes a new text every half lease, and stops its run when it could not for a
whole one; others may claim over the text after 1.5 (daemon/rivals.py)."""


class UpheldBoard:
    """``board``, on which this daemon's proved claims and recorded ends stand. ``verify`` None: just
    ``board``. ``lease``: seconds; ``clock``: epoch s."""

    def __init__(
        self,
        board: Board,
        store: Store,
        *,
        verify: Callable[[], Verify | None],
        lease: Callable[[], float],
        clock: Callable[[], float],
        log: Log,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._store = store
        self._verify = verify
        self._lease = lease
        self._clock = clock
        self._log = log
        self._monotonic = monotonic
        self._rivals = Rivals(lapse=WATCHED)
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._board, name)

    def look(self) -> list[Task]:
        """``Board.look``, after what is void was written over. What can't be now is tried at the next
        look."""
        tasks = self._board.look()
        if self._verify() is None:
            return tasks
        quiet = self._rivals.look(tasks, (), self._lease(), self._monotonic())
        latest = self._store.latest_runs([t.id for t in tasks if t.status in OURS and t.claim])
        return [self._seen(t, latest.get(t.id), quiet.get(t.id, False)) for t in tasks]

    def get(self, task_id: str) -> Task:
        """``Board.get``. Raises TransientError when a void claim could not be written over now: what is on
        the page says nothing then."""
        page = self._board.get(task_id)
        run = self._under_way(task_id)
        if run is None or _wrong(page, run) is None:
            return page
        return self._uphold(page.id, run)

    def write(self, task_id: str, held: Claim, change: PageWrite) -> Task:
        """``Board.write``. Raises TransientError as ``get`` does."""
        try:
            return self._board.write(task_id, held, change)
        except Fenced:
            run = self._under_way(task_id)
            if run is None or not held.same_hold(parse(run.claim)):
                raise
            self._uphold(task_id, run)
            return self._board.write(task_id, held, change)

    def _under_way(self, task_id: str) -> Run | None:
        if self._verify() is None:
            return None
        run = self._store.latest_runs([task_id]).get(task_id)
        return run if run is not None and run.state in UNDER_WAY else None

    def _seen(self, task: Task, run: Run | None, quiet: bool) -> Task:
        if run is None or run.state not in SAID or _wrong(task, run) is None:
            return task
        if run.state not in UNDER_WAY and not quiet:
            return task
        try:
            return self._uphold(task.id, run)
        except HandoffdError as error:
            self._log.warning("claim.not_upheld", run_id=run.run, error=error.one_line())
            return task

    def _uphold(self, task_id: str, run: Run) -> Task:
        """The page as it is afterwards. A query may show the past, and another thread may have been here:
        only what the page itself says now counts."""
        with self._lock:
            page = self._board.get(task_id)
            held, verify = parse(run.claim), self._verify()
            wrong = _wrong(page, run)
            if wrong is None or held is None or verify is None:
                return page
            if not held.same_hold(wrong):
                page = self._write_back(page, run, held, wrong, verify)
            if run.state is RunState.RUNNING:
                return page
            ended = run.state not in UNDER_WAY
            change = PageWrite(
                status=SAID[run.state],
                why=run.why,
                claim=replace(held, lease_until_ms=0) if ended else None,
            )
            return self._board.write(task_id, held, change)

    def _write_back(self, page: Task, run: Run, held: Claim, wrong: Claim, verify: Verify) -> Task:
        renewed = replace(held, lease_until_ms=int((self._clock() + self._lease()) * 1000))
        try:
            written = self._board.claim_in_time(page, renewed, run.attempt, verify, wrong)
        except HandoffdError as error:
            raise TransientError(
                f"a claim of {wrong.owner} that does not count stands on the page: {error.message}",
                hint="ours is written back at the next look",
            ) from error
        self._store.event("claim.upheld", task=run.task, run=run.run, over=wrong.text())
        self._log.warning("claim.upheld", run_id=run.run, over=wrong.text())
        return written


def _wrong(page: Task, run: Run) -> Claim | None:
    """The claim on the page that must not stand there beside what we know of ``run``; None = all is well, or
    it is a person's or another's business."""
    held = parse(run.claim)
    if held is None or page.claim is None or page.status is not Status.IN_PROGRESS:
        return None
    if void(page.claim, held):
        return page.claim
    ended = run.state not in UNDER_WAY
    if ended and held.same_hold(page.claim) and page.claim.lease_until_ms:
        return page.claim  # our own claim, written back or late, over our end
    return None
