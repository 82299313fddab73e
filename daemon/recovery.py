"""What was cut short, put right: half-made claims, attempts that the engine can't carry any further, work
whose host or whose code is another now. Each case ends in the engine's hands, in a closed row, or in the same
place at the next tick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from daemon.core import claim as claims
from daemon.core.backoff import Backoff
from daemon.core.effects import ending
from daemon.core.errors import Fenced, NotFound
from daemon.core.fleet import Fate
from daemon.core.ids import CHANGED, arrival_of, cancel_workflow, parked_workflow, reassign_workflow
from daemon.core.outcome import Retry
from daemon.core.ports import Board, PageWrite
from daemon.core.status import OURS, RunState, Status
from daemon.core.task import Task
from daemon.sdk import Log
from daemon.store import Run, Store

BROKEN = frozenset({"ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})
"""The engine's words for a workflow that it will not go on with."""

ENDED_AS = {
    Status.COMPLETED: RunState.COMPLETED,
    Status.FAILED: RunState.FAILED,
    Status.BLOCKED: RunState.BLOCKED,
    Status.REVIEW: RunState.REVIEW,
    Status.READY: RunState.RETRYING,
}
"""How an attempt ended whose last word stands on the page."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The board does not want the attempt to go on. ``again``: but the task, anew, with who has it now."""

    reason: str
    again: bool = False

    @property
    def event(self) -> str:
        """The event that tells it."""
        return "task.reassigned" if self.again else "task.cancelled"


class Runs(Protocol):
    """What the tick asks of the engine."""

    def submit(self, workflow: str, run: str, arrival: str = "") -> None:
        """Enqueue; idempotent by workflow id."""

    def state(self, workflow: str) -> str:
        """ "" when the engine does not know it."""

    def adopt(self, workflow: str) -> None:
        """Go on here with a workflow whose state is ELSEWHERE."""

    def abandon(self, workflow: str) -> None:
        """Nobody goes on with it."""

    def cancel(self, run: str, reason: str, *, again: bool = False) -> bool:
        """Ask a run under way in this process to stop, and (``again``) to be started anew. False when it is
        not under way here, or was asked before."""

    def stop_stalled(self, run: str, limit: float) -> str:
        """Stop it when it has shown no sign of life for ``limit`` seconds. Why, "" = nothing was done."""

    def working(self) -> Sequence[str]:
        """Runs under way in this process."""


class Recovery:
    """Repairs of one daemon's attempts. ``fates``: what was decided at each takeover of a run, in order."""

    def __init__(
        self,
        *,
        board: Board,
        store: Store,
        runs: Runs,
        clock: Callable[[], float],
        log: Log,
        fates: Callable[[str], Sequence[str]],
    ) -> None:
        self._board = board
        self._store = store
        self._runs = runs
        self._clock = clock
        self._log = log
        self._fates = fates

    # ── claims ────────────────────────────────────────────────────────────────────────────────────

    def repair_claim(self, run: Run) -> None:
        """A claim that was cut short: finish it, or give it back."""
        held = claims.parse(run.claim)
        assert held is not None  # noqa: S101 - begin_run wrote it from a Claim
        try:
            page = self.renamed(held, self._board.get(run.task))
            if not held.same_hold(page.claim):
                page = self._board.claim(page, held, run.attempt)
        except (Fenced, NotFound) as error:
            self.release(run, error.one_line())
            return
        self.start(run, page)

    def renamed(self, held: claims.Claim | None, page: Task) -> Task:
        """``page`` with our claim, where it carries the one of the host that we took the run over from."""
        there = page.claim
        if held is None or there is None or held.same_hold(there) or page.status not in OURS:
            return page
        if (there.store, there.generation) != (held.store, held.generation) or there.lease_until_ms == 0:
            return page  # a row admits one claim of a generation: only then is it an earlier hold of this run
        return self._board.write(page.id, there, PageWrite(claim=held))

    def settle(self, run: Run, verify: claims.Verify) -> None:
        """The claim was on the page in time: the engine waits, reads it back, and only then runs."""
        self._runs.submit(run.run, run.run, claims.SETTLE)
        why = (
            f"claimed; runs when the claim still stands on the page {verify.settle:g} s later "
            '(claim.mode = "verify")'
        )
        self._store.change_run(run.run, only_in=[RunState.CLAIMING], workflow=run.run, why=why)
        self._store.event("task.settling", task=run.task, run=run.run, seconds=verify.settle)
        self._log.debug("task.settling", run_id=run.run, seconds=verify.settle)

    def start(self, run: Run, page: Task) -> None:
        """The page carries the claim: hand the run to the engine."""
        self._store.change_run(
            run.run,
            only_in=[RunState.CLAIMING],
            state=RunState.RUNNING,
            page=msgspec.to_builtins(page),
            workflow=run.run,
        )
        self._runs.submit(run.run, run.run)
        self._store.event("task.claimed", task=run.task, run=run.run, handler=run.handler)
        self._log.info("task.claimed", task_id=run.task, run_id=run.run, handler=run.handler)

    def release(self, run: Run, why: str) -> None:
        """Give a claim back before any work was done."""
        self._store.change_run(
            run.run, only_in=[RunState.CLAIMING], state=RunState.RELEASED, ended=self._clock(), why=why
        )
        self._store.event("task.released", task=run.task, run=run.run, reason=why)
        self._log.info("task.released", task_id=run.task, run_id=run.run, reason=why)

    # ── attempts that are under way ───────────────────────────────────────────────────────────────

    def withdraw(self, run: Run, moved: Moved, state: str = "") -> None:
        """End an attempt that nobody works on and the board does not want: its handler takes back what can
        be taken back. ``state``: the engine's word for its workflow."""
        workflow = reassign_workflow(run.run) if moved.again else cancel_workflow(run.run)
        if state == "ELSEWHERE":
            self._runs.abandon(run.workflow or run.run)
        if self._store.change_run(run.run, only_in=[run.state], state=RunState.RUNNING, workflow=workflow):
            self._runs.submit(workflow, run.run, arrival_of(workflow, run.run))
            self._store.event(moved.event, task=run.task, run=run.run, reason=moved.reason)

    def resubmit(self, run: Run) -> None:
        """The engine does not know the run's workflow: what was cut off before it got there goes there now.
        One whose steps an upgrade changed may have said its last word already: then that stands."""
        workflow = run.workflow or run.run
        arrival = arrival_of(workflow, run.run)
        if arrival == CHANGED:
            page = self._board.get(run.task)
            if page.claim is not None and page.claim.lease_until_ms == 0:
                self._close(run, ENDED_AS.get(page.status or Status.CANCELLED, RunState.CANCELLED), page)
                return
        self._runs.submit(workflow, run.run, arrival)

    def _close(self, run: Run, state: RunState, page: Task) -> None:
        now = self._clock()
        retry_at = now if state is RunState.RETRYING else None
        done = self._store.change_run(
            run.run,
            only_in=[RunState.RUNNING],
            state=state,
            ended=now,
            summary=page.result,
            why=page.why,
            retry_at=retry_at,
            progress=None,
        )
        if done:
            self._finished(run, state, page.why)

    def take_up(self, run: Run, backoff: Backoff) -> None:
        """Its workflow was last another executor's: a host that is gone, or an earlier home of this one."""
        fates = self._fates(run.run)
        if fates and fates[-1] == Fate.ANEW.value:
            self._retry(run, "the host that worked on it is gone", backoff)
            return
        self._runs.adopt(run.workflow or run.run)
        self._store.event("task.adopted", task=run.task, run=run.run)
        self._log.info("task.adopted", run_id=run.run)

    def _retry(self, run: Run, reason: str, backoff: Backoff) -> None:
        """End the attempt without its handler; the next one starts from the top, or none is left."""
        end = ending(
            Retry(reason=reason, after=0.0), (), attempt=run.attempt, backoff=backoff, rng=lambda: 0.0
        )
        held = claims.parse(run.claim)
        if held is not None:
            change = PageWrite(
                status=end.status,
                result=end.result or None,
                why=end.why,
                attempts=run.attempt,
                claim=replace(held, lease_until_ms=0),
            )
            self._board.write(run.task, held, change)
        self._runs.abandon(run.workflow or run.run)
        now = self._clock()
        self._store.change_run(
            run.run,
            only_in=[RunState.RUNNING],
            state=end.state,
            ended=now,
            outcome="retry",
            summary=end.result,
            why=end.why,
            retry_at=None if end.retry_in is None else now + end.retry_in,
            progress=None,
        )
        self._finished(run, end.state, end.why)

    def give_up(self, run: Run) -> None:
        """The engine can't carry the run any further: the daemon died over it too often, or there is a bug of
        ours. End it with a report; when that can't be done either, say so on the page."""
        parked = parked_workflow(run.run)
        if run.workflow != parked and self._store.deaths(run.workflow or run.run, run.run):
            if self._store.change_run(run.run, only_in=[RunState.RUNNING], workflow=parked):
                self._runs.submit(parked, run.run, arrival_of(parked, run.run))
                self._store.event("task.parked", task=run.task, run=run.run)
                self._log.error("task.parked", run_id=run.run)
            return
        held = claims.parse(run.claim)
        why = "the daemon failed while it ended the attempt; the log has the trace → set Ready to try again"
        if held is not None:
            change = PageWrite(status=Status.FAILED, why=why, claim=replace(held, lease_until_ms=0))
            # A page that is gone, or another's by now, can't be told: the row is closed all the same.
            with suppress(Fenced, NotFound):
                self._board.write(run.task, held, change)
        self._store.change_run(run.run, state=RunState.FAILED, ended=self._clock(), why=why, progress=None)
        self._store.event("task.finished", task=run.task, run=run.run, state="failed", why=why)
        self._log.error("engine.broke", run_id=run.run)

    def _finished(self, run: Run, state: RunState, why: str) -> None:
        self._store.event("task.finished", task=run.task, run=run.run, state=state.value, why=why)
        self._log.warning("task.finished", run_id=run.run, state=state.value, why=why)
