"""One attempt: the handler's work, its outcome, and the conclusion. Replayable from the top."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from daemon.core.backoff import Backoff
from daemon.core.claim import SETTLE, Verify
from daemon.core.errors import TransientError
from daemon.core.ids import CANCEL, CHANGED, PARKED, REASSIGN, arrival_of, changed_workflow
from daemon.core.outcome import Blocked, Cancelled, Failed, Fault, Outcome, Retry, Snooze
from daemon.core.ports import Reports
from daemon.core.status import RunState
from daemon.core.task import Task
from daemon.engine.conclusion import Conclusion, Desk, Engineering
from daemon.engine.context import Control, Means, RunContext, StepsChanged
from daemon.engine.deaths import Deaths
from daemon.engine.gap_tasks import GapsOf
from daemon.engine.patient import AGAIN_S, patient
from daemon.engine.policy import outcome_of
from daemon.engine.proof import Proof
from daemon.engine.registry import Registered, Registry, parse_parameters, typed_parameters
from daemon.sdk import Log
from daemon.store import Run

FOREIGN_S = 2.0
"""Between two looks at a run that another host has taken over."""

TELL_S = 60.0
"""Between two lines that say that runs wait for the store."""

LOOK_LIMIT_S = 30.0
"""Seconds that a look at a waiting task may take."""


class Runner:
    """Carries out attempts. One for a daemon; used by many threads."""

    def __init__(
        self,
        *,
        means: Means,
        registry: Registry,
        sections: Callable[[str], Any],
        reports: Reports,
        backoff: Callable[[], Backoff],
        version: str,
        log: Log,
        bind: Callable[..., Any],
        on_end: Callable[[str], None] = lambda run: None,
        gaps: GapsOf = lambda bundle: (),
        crashes: Callable[[], int] = lambda: 3,
        verify: Callable[[], Verify | None] = lambda: None,
    ) -> None:
        """``crashes``: deaths in a row over a stretch of work until it is not begun again."""
        self._plain = means
        self._means = replace(means, store=patient(means.store, self._store_waits))
        self._registry = registry
        self._sections = sections
        self._desk = Desk(reports=reports, backoff=backoff, version=version, log=log, gaps=gaps)
        self._log = log
        self._bind = bind
        self._on_end = on_end
        self.deaths = Deaths(self._means.store, crashes, self._park, plain=means.store)
        self._verify = verify
        self._store_said = ""
        self._store_told = self._store_waited = float("-inf")
        self._lock = threading.Lock()
        self._controls: dict[str, Control] = {}

    # ── what the tick asks ────────────────────────────────────────────────────────────────────────

    def working(self) -> list[str]:
        """Runs that a thread of this process is carrying out."""
        with self._lock:
            return sorted(self._controls)

    def cancel(self, run: str, reason: str, *, again: bool = False) -> bool:
        """Stop a run that is under way here; ``again``: it is to start anew. False when it is not under way,
        or was told before."""
        with self._lock:
            control = self._controls.get(run)
        if control is None or control.ending or control.stop.is_set():
            return False
        control.cancel(reason, again=again)
        return True

    def stop_stalled(self, run: str, limit: float) -> str:
        """Stop a run that has shown neither sign of life for ``limit`` seconds. Why, "" = nothing was done:
        it lives, is not under way here, or was told before."""
        with self._lock:
            control = self._controls.get(run)
        if control is None or control.ending or control.stop.is_set():
            return ""
        why = control.signs.stalled(limit)
        if why:
            control.cancel(why, stalled=True)
        return why

    def looking(self, run: Run) -> RunContext:
        """A context to look with on a waiting run: its steps are not kept."""
        return RunContext(
            run=run,
            settings=self._sections(run.handler),
            means=self._plain,
            control=Control(run=run.run, deadline=self._means.monotonic() + LOOK_LIMIT_S),
            durable=lambda name, fn: fn(),
            log=self._log,
        )

    # ── one stretch of work ───────────────────────────────────────────────────────────────────────

    def execute(self, run_id: str, arrival: str, engine: Engineering) -> str:
        """Work on a run until it ends or waits. Returns the state it is in then."""
        run = self._until_ours(run_id)
        if run is None:
            return "unknown"
        # Another stretch of the run has begun, or another host ended it: what is left of this one must not
        # write its end over it. The current stretch goes on whatever the row says: it may have died between
        # ending it and the rest.
        current = arrival_of(run.workflow or run.run, run.run) == ("" if arrival == SETTLE else arrival)
        if not current or not self._means.owns(run.host):
            return run.state.value
        with self.deaths.counted(run.workflow or run.run, run_id):
            return self._stretch(run, arrival, engine)

    @property
    def store_error(self) -> str:
        """Why runs wait for the store right now; "" = none does."""
        return self._store_said if self._means.monotonic() - self._store_waited < 2 * AGAIN_S else ""

    def _store_waits(self, error: TransientError) -> None:
        now = self._means.monotonic()
        if now - self._store_told > TELL_S:
            self._store_told = now
            self._log.warning("store.waits", error=error.one_line())
        self._store_said, self._store_waited = error.one_line(), now
        self._means.draining.wait(AGAIN_S)
        self._park()

    def _park(self) -> None:
        if self._means.draining.is_set():
            threading.Event().wait()

    def _stretch(self, run: Run, arrival: str, engine: Engineering) -> str:
        run_id = run.run
        registered = self._registry.get(run.handler)
        limit = registered.handler.time_limit if registered else 60.0
        control = Control(run=run_id, deadline=self._means.monotonic() + limit)
        with self._lock:
            self._controls[run_id] = control
        try:
            with self._bind(task_id=run.task, run_id=run_id, handler=run.handler, attempt=run.attempt):
                if arrival == SETTLE:
                    stands = self._stands(run, control, engine)
                    if stands is None:
                        return "released"
                    run, arrival = stands, ""
                task = msgspec.convert(run.page, Task)
                part = arrival.rsplit(":", 1)[-1][:8] if arrival else ""
                ctx = RunContext(
                    run=run,
                    settings=self._sections(run.handler),
                    means=self._means,
                    control=control,
                    durable=engine.step,
                    log=self._log,
                    part=part,
                )
                outcome = _as_told(control, self._outcome(registered, task, ctx, arrival))
                control.ending = True
                # From here on nothing may be cut short by a cancel: what happened has to be told.
                handler = registered.handler if registered else None
                said = (run, task, handler, ctx, outcome)
                return Conclusion(self._desk, self._means, *said, engine, part).write()
        except StepsChanged as error:
            return self._changed(run, str(error))
        finally:
            # Told before it is let go: who asks what is under way must not find nothing, and no news of it.
            if not self._means.draining.is_set():
                self._on_end(run_id)
            with self._lock:
                self._controls.pop(run_id, None)
            self._means.changed()

    def _changed(self, run: Run, why: str) -> str:
        """What is on record can't be replayed by this code: from here on the tick has the run."""
        news = {"name": "task.outdated", "task": run.task, "run": run.run, "data": {"reason": why}}
        self._means.store.change_run(
            run.run, only_in=[RunState.RUNNING], workflow=changed_workflow(run.run), why=why, event=news
        )
        self._log.warning("task.outdated", run_id=run.run, reason=why)
        return CHANGED

    def _stands(self, run: Run, control: Control, engine: Engineering) -> Run | None:
        """The run, when its claim was read back and stands; None = it was given back."""
        return Proof(self._means, run, self._verify, control, engine, self._log).read_back()

    def _until_ours(self, run_id: str) -> Run | None:
        """The run, when it is this host's to work on or is over. The engine resumes what it knew before a
        restart; what another host has taken over since must neither be worked on nor be called finished."""
        while True:
            run = self._means.store.run(run_id)
            if run is None or run.state.final or self._means.owns(run.host):
                return run
            if self._means.draining.wait(FOREIGN_S):
                threading.Event().wait()

    def _outcome(self, registered: Registered | None, task: Task, ctx: RunContext, arrival: str) -> Outcome:
        if registered is None:
            return Blocked(reason="its handler is not installed any more", unblock="install it again")
        handler: Any = registered.handler
        if arrival == PARKED:
            return self._parked(ctx.run.id)
        if arrival == CHANGED:
            return self._outdated(ctx.run.id)
        try:
            params = typed_parameters(handler.Params, parse_parameters(task.parameters))
            if arrival.startswith(CANCEL):
                if hasattr(handler, "cancel"):
                    handler.cancel(task, params, ctx)
                return Cancelled(reason="cancelled on the board while it waited")
            if arrival.startswith(REASSIGN):
                if hasattr(handler, "cancel"):
                    handler.cancel(task, params, ctx)
                return Snooze(reason="it was reassigned while it waited: it starts anew", after=0.0)
            work = handler.resume if arrival else handler.run
            outcome: Outcome = work(task, params, ctx)
        # The one place where surprises of a handler are turned into an outcome, by the one policy.
        except Exception as error:  # noqa: BLE001
            ctx.park()
            self._log.warning("task.raised", error=str(error), error_type=type(error).__name__)
            return outcome_of(error)
        return outcome

    def _outdated(self, run: str) -> Outcome:
        found = self._means.store.run(run)
        why = found.why if found else "its steps changed"
        return Retry(reason=f"an upgrade changed its steps: {why}", after=0.0, fault=Fault.NONE)

    def _parked(self, run: str) -> Outcome:
        steps = [s.name for s in self._means.store.steps(run) if s.state == "running"]
        where = f"in the step “{steps[-1]}”" if steps else "between two steps"
        return Failed(
            reason=f"the daemon died again and again over it, {where}",
            hint="the log tells how; correct the task or the handler, then set Ready again",
        )


def _as_told(control: Control, outcome: Outcome) -> Outcome:
    """The outcome of a run that was stopped, in the sense of who stopped it. What was finished all the same
    stands."""
    if control.stalled and isinstance(outcome, Cancelled | Retry):
        return Retry(reason=control.stalled, data=outcome.data, fault=Fault.STALLED)
    if control.again and isinstance(outcome, Cancelled):
        return Snooze(reason=f"{control.reason}: it starts anew", after=0.0, data=outcome.data)
    return outcome
