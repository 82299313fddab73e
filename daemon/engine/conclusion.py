"""What is written when the handler has spoken, in the order that is the promise.

outcome → gates judged → ending → report on disk → section on the page → status on the page → closed. A page
that says Completed has its report, and a run is closed only after the page took its status. The writes to the
page are durable steps that are tried until the board takes them: the outbox.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from daemon.core import claim as claims
from daemon.core.backoff import Backoff
from daemon.core.breaker import Mark
from daemon.core.effects import Ending, ending
from daemon.core.errors import Fenced, HandoffdError, NotFound, PermanentError
from daemon.core.evidence import Judged, files_of, judge, verdict
from daemon.core.gates import Call, Decision
from daemon.core.outcome import Delivered, Done, Outcome, fault_of
from daemon.core.ports import Bundle, PageWrite, Reports
from daemon.core.status import ACTIVE, RunState, Status
from daemon.core.task import Task
from daemon.core.text import one_line
from daemon.engine import codec, gap_tasks
from daemon.engine.context import Durable, Means, RunContext
from daemon.sdk import Log
from daemon.store import Run

KEEP_TRYING_S = (2.0, 5.0, 15.0, 30.0, 60.0)
"""Between attempts to reach the board for a last write; the last one repeats for as long as it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engineering:
    """What makes a step durable: the engine's own verbs."""

    step: Durable
    sleep: Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every conclusion of a daemon needs beside its run."""

    reports: Reports
    backoff: Callable[[], Backoff]
    version: str
    log: Log
    gaps: gap_tasks.GapsOf = lambda bundle: ()


class Conclusion:
    """What is written when the handler has spoken."""

    def __init__(
        self,
        desk: Desk,
        means: Means,
        run: Run,
        task: Task,
        handler: Any,
        ctx: RunContext,
        outcome: Outcome,
        engine: Engineering,
        part: str,
    ) -> None:
        """``handler``: None when it is not installed. ``part`` sets the steps of an arrival apart."""
        self._desk = desk
        self._means = means
        self._run = run
        self._task = task
        self._handler = handler
        self._ctx = ctx
        self._outcome = outcome
        self._engine = engine
        self._part = part

    def write(self) -> str:
        """Judge, report, write, close. Returns the state that the run is in then."""
        final: _Final = codec.load(self._step("judge", self._judge), _Final)
        if final.ending.state is RunState.WAITING:
            self._to_board("page: waiting", lambda: self._write_page(final.ending, report=None, last=False))
            self._step("wait", lambda: self._wait(final))
            return RunState.WAITING.value
        told = final.ending
        report: dict[str, Any] = {}
        if told.state is not RunState.RETRYING or isinstance(self._outcome, Done):
            self._step("gaps", lambda: gap_tasks.make(self._bundle(final), self._desk.gaps, self._ctx))
            report = self._step("report", lambda: self._report(final))
            if "error" in report and told.state is RunState.COMPLETED:
                told = _without_report(told, report["error"])
            if "section" in report:
                self._to_board("page: section", lambda: self._section(report["section"]))
        fate = self._to_board(
            "page: status", lambda: self._write_page(told, report=report.get("link"), last=True)
        )
        self._step("close", lambda: self._close(final, told, report, fate))
        # Not in the step: a replay of the whole stretch makes the folder again.
        with suppress(FileNotFoundError):
            shutil.rmtree(self._means.work / self._run.run)
        return told.state.value

    def _step(self, name: str, fn: Callable[[], Any]) -> Any:
        label = f"{name}@{self._part}" if self._part else name

        def act() -> Any:
            self._ctx.park()
            self._means.store.step_began(self._run.run, label)
            value = codec.dump(fn())
            self._ctx.park()
            self._means.store.step_ended(self._run.run, label)
            return value

        return self._engine.step(label, act)

    def _judge(self) -> _Final:
        gates = self._handler.gates if self._handler is not None else ()
        evidence = self._means.store.evidence(self._run.run)
        judged: list[Judged] = []
        if not isinstance(self._outcome, Delivered):
            judged = judge(gates, evidence, started=self._run.started, skipped=self._ctx.skipped)
            self._means.store.put_gates(self._run.run, judged)
        end = ending(
            self._outcome,
            judged,
            attempt=self._run.attempt,
            backoff=self._desk.backoff(),
            rng=random.random,
        )
        return _Final(
            ending=end,
            outcome=type(self._outcome).__name__.lower(),
            data=dict(getattr(self._outcome, "data", {})),
            judged=tuple(judged),
            at=self._means.clock(),
        )

    def _wait(self, final: _Final) -> None:
        outcome = self._outcome
        assert isinstance(outcome, Delivered)  # noqa: S101 - the only outcome whose ending is WAITING
        self._means.store.change_run(
            self._run.run,
            only_in=[RunState.RUNNING],
            state=RunState.WAITING,
            wait_for=outcome.wait_for,
            look_again=outcome.look_again,
            summary=final.ending.result,
            why=final.ending.why,
            outcome=final.outcome,
            event=self._news("task.waiting", wait_for=outcome.wait_for),
        )
        self._say(RunState.WAITING, final.ending.why, "it arrives", final.at)

    def _bundle(self, final: _Final) -> Bundle:
        store = self._means.store
        evidence = store.evidence(self._run.run)
        return Bundle(
            kind=self._handler.report if self._handler is not None else "task",
            run=self._run.run,
            task=self._task,
            handler=self._run.handler,
            host=self._run.host,
            version=self._desk.version,
            generation=self._run.generation,
            attempt=self._run.attempt,
            started=self._run.started,
            ended=final.at,
            outcome=final.outcome,
            status=final.ending.status.value if final.ending.status else "",
            summary=final.ending.result,
            why=final.ending.why,
            data=final.data,
            judged=final.judged,
            evidence=evidence,
            steps=[
                {
                    "name": s.name,
                    "state": s.state,
                    "attempts": s.attempts,
                    "started": s.started,
                    "seconds": s.seconds,
                    "error": s.error,
                }
                for s in store.steps(self._run.run)
                if s.name.partition("@")[0] not in ("gaps", "report")
            ],
            files=files_of(evidence),
            follow_ups=[asdict(m) for m in store.made_by(self._run.run)],
            previous=[
                {"run": r.run, "seconds": r.ended - r.started, "state": r.state.value, "ended": r.ended}
                for r in store.runs(handler=self._run.handler, until=self._run.started, limit=20)
                if r.ended is not None and r.run != self._run.run
            ],
        )

    def _report(self, final: _Final) -> dict[str, Any]:
        try:
            made = self._desk.reports.render(self._bundle(final))
        # A broken template must not hide what the run did: the page says so and the status is lowered.
        except Exception as error:  # noqa: BLE001
            self._desk.log.error("report.failed", error=str(error), error_type=type(error).__name__)
            return {"error": f"{type(error).__name__}: {error}"}
        return {"section": made.section, "link": made.link, "path": str(made.folder)}

    # ── the page ──────────────────────────────────────────────────────────────────────────────────

    def _to_board(self, name: str, write: Callable[[], None]) -> str:
        """Try until the board takes it. Returns "written", "fenced" or "gone"."""
        tries = 0
        while True:
            label = name if tries == 0 else f"{name} (try {tries + 1})"
            said = self._step(label, lambda: self._attempt(write))
            if said["fate"] != "later":
                return str(said["fate"])
            wait = KEEP_TRYING_S[min(tries, len(KEEP_TRYING_S) - 1)]
            self._engine.sleep(max(wait, said.get("after") or 0.0))
            self._ctx.park()
            tries += 1

    def _attempt(self, write: Callable[[], None]) -> dict[str, Any]:
        try:
            write()
        except Fenced as error:
            self._event("task.fenced", reason=error.one_line())
            return {"fate": "fenced"}
        except NotFound as error:
            self._event("task.orphaned", reason=error.one_line())
            return {"fate": "gone"}
        except PermanentError as error:
            self._event("board.refused", reason=error.one_line())
            return {"fate": "refused"}
        except HandoffdError as error:
            self._desk.log.warning("board.write_waits", error=error.one_line())
            return {"fate": "later", "after": getattr(error, "retry_after", None)}
        return {"fate": "written"}

    def _held(self) -> claims.Claim:
        held = claims.parse(self._run.claim)
        if held is None:
            raise Fenced(f"run {self._run.run} has no claim")
        return held

    def _section(self, section: str) -> None:
        self._means.board.section(self._run.task, self._run.run, section)

    def _write_page(self, told: Ending, *, report: str | None, last: bool) -> None:
        held = self._held()
        change = PageWrite(
            status=told.status,
            result=told.result or None,
            why=told.why,
            report=report,
            attempts=self._run.attempt if told.counts else None,
            claim=replace(held, lease_until_ms=0) if last else held,
        )
        self._means.board.write(self._run.task, held, change)

    # ── the end ───────────────────────────────────────────────────────────────────────────────────

    def _close(self, final: _Final, told: Ending, report: dict[str, Any], fate: str) -> None:
        state = told.state if fate == "written" else _CLOSED_AS.get(fate, told.state)
        why = told.why if fate == "written" else f"{_FATES[fate]}; the work itself: {told.result}"
        if fate == "written":
            self._mark(final.at)
        seconds = final.at - self._run.started
        # Ended and said so in one transaction; all around it may be done again after a crash.
        self._means.store.change_run(
            self._run.run,
            only_in=ACTIVE,
            event=self._news(
                "task.finished", state=state.value, outcome=final.outcome, seconds=seconds, why=why
            ),
            state=state,
            ended=final.at,
            outcome=final.outcome,
            summary=told.result,
            why=why,
            report=report.get("path", ""),
            retry_at=None if told.retry_in is None else final.at + told.retry_in,
            verdict=verdict(final.judged).value if isinstance(self._outcome, Done) else "",
            progress=None,
        )
        if told.retry_in is None:
            self._say(
                state, why or told.result, "" if state is RunState.COMPLETED else "set Ready again", final.at
            )
        self._desk.log.info(
            "task.finished",
            state=state.value,
            outcome=final.outcome,
            duration_s=round(seconds, 3),
            gates={j.name: j.result.value for j in final.judged},
            why=why,
        )

    def _mark(self, at: float) -> None:
        """What this attempt says of its handler; before it is closed, so that no tick decides without."""
        fault = fault_of(self._outcome)
        if fault is None:
            return
        mark = Mark(
            run=f"{self._run.run}@{self._part}" if self._part else self._run.run,
            handler=self._run.handler,
            task=self._run.task,
            fault=fault,
            reason=one_line(getattr(self._outcome, "reason", ""), 300),
            started=self._run.started,
            ended=at,
        )
        self._means.store.mark(mark)

    def _say(self, state: RunState, reason: str, would_change: str, at: float) -> None:
        """Record what `why` answers from now on."""
        said = Decision(
            task_id=self._run.task,
            title=one_line(self._run.title, 120),
            verdict=Call.HOLD,
            gate=state.value,
            reason=one_line(reason, 600),
            would_change=would_change,
            since=at,
            at=at,
            next_look=None,
            handler=self._run.handler,
        )
        self._means.store.record_decisions([said])

    def _event(self, name: str, **data: Any) -> None:
        self._means.store.event(name, task=self._run.task, run=self._run.run, **data)

    def _news(self, name: str, **data: Any) -> dict[str, Any]:
        return {"name": name, "task": self._run.task, "run": self._run.run, "data": data}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Final:
    ending: Ending
    outcome: str
    data: dict[str, Any]
    judged: tuple[Judged, ...]
    at: float


_FATES = {
    "fenced": "the page has moved on to another claim",
    "gone": "the page is gone or not shared any more",
    "refused": "the board refused the write",
}
_CLOSED_AS = {"fenced": RunState.CANCELLED, "gone": RunState.CANCELLED}


def _without_report(told: Ending, error: str) -> Ending:
    why = f"the report could not be written: {error} → see `handoffd doctor`, then `handoffd report render`"
    return replace(told, state=RunState.REVIEW, status=Status.REVIEW, why=why)
