"""The Context that a handler sees: durable steps, evidence, children, cancel. The engine stays invisible."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import tenacity

from daemon.core.backoff import Backoff
from daemon.core.errors import BlockedError, CancelledRun, HandoffdError, TransientError
from daemon.core.evidence import Evidence
from daemon.core.lineage import LineageLimits
from daemon.core.ports import Board
from daemon.core.task import Draft
from daemon.core.text import one_line
from daemon.engine import codec, past
from daemon.engine.child import run_child
from daemon.engine.signs import Signs
from daemon.sdk import ChildResult, Log, OpenTask, Rows, RunInfo, RunRecord, StepRetry
from daemon.store import Run, Store
from daemon.store.rows import Made

T = TypeVar("T")

Durable = Callable[[str, Callable[[], Any]], Any]
"""Runs a function as a durable step under a name; the engine passes DBOS's."""


class StepsChanged(BaseException):
    """The code asks for ``wanted`` where an earlier life of the run recorded ``recorded``: an upgrade changed
    its steps. Not an Exception: no handler and no policy may take it for a fault of its own."""

    def __init__(self, recorded: str, wanted: str) -> None:
        super().__init__(f"the step “{recorded}” is on record where the code asks for “{wanted}” now")


@dataclass(slots=True)
class Control:
    """The strings on a run that is under way in this process."""

    run: str
    deadline: float
    """Monotonic seconds."""
    reason: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    again: bool = False
    """It was stopped only to start anew: the task has another agent or handler now."""
    stalled: str = ""
    """It was stopped because it showed no sign of life."""
    ending: bool = False
    """The handler has spoken: from here on nothing is cut short."""
    signs: Signs = field(default_factory=Signs)

    def cancel(self, reason: str, *, again: bool = False, stalled: bool = False) -> None:
        """Ask the run to stop; the first reason stands."""
        if not self.stop.is_set():
            self.reason, self.again = reason, again
            self.stalled = reason if stalled else ""
        self.stop.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the runs of one daemon share."""

    store: Store
    board: Board
    home: Path
    work: Path
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    secret: Callable[[str], str | None]
    draining: threading.Event
    """Set when the daemon stops: nothing new begins, what was cut is done again after the restart."""
    guard: Callable[[], None] = lambda: None
    """Called at every step boundary: returns when this host may go on, or when ``draining`` says that not."""
    owns: Callable[[str], bool] = lambda host: True
    """Whether an attempt that is registered to a host of this name is this process's to work on."""
    changed: Callable[[], None] = lambda: None
    """Called when a run has news for the snapshot."""
    rows: Callable[[str], Rows | None] = lambda name: None
    """A further database of the board by its name; None = the settings name none."""
    lineage: Callable[[], LineageLimits] = LineageLimits
    attempts: Callable[[], int] = lambda: Backoff().attempts
    """How many attempts a task has, in the settings in force."""


class RunContext:
    """Implements ``daemon.sdk.Context`` for one stretch of work on a run."""

    def __init__(
        self,
        *,
        run: Run,
        settings: Any,
        means: Means,
        control: Control,
        durable: Durable,
        log: Log,
        part: str = "",
    ) -> None:
        self.run = RunInfo(
            id=run.run,
            task_id=run.task,
            generation=run.generation,
            attempt=run.attempt,
            attempts=max(run.attempt, means.attempts()),
            started=datetime.fromtimestamp(run.started, UTC),
            host=run.host,
        )
        self._began = run.started
        self._handler = run.handler
        self.settings = settings
        self.home = means.home
        self.log = log
        self.skipped: list[str] = []
        self._means = means
        self._control = control
        self._durable = durable
        self._part = part
        self._names: Counter[str] = Counter()
        self._in_step = threading.local()
        self._progress_at = 0.0

    @property
    def workdir(self) -> Path:
        path = self._means.work / self.run.id
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @property
    def cancelled(self) -> bool:
        return self._control.stop.is_set() or self._late()

    def _late(self) -> bool:
        return self._means.monotonic() > self._control.deadline

    def check(self) -> None:
        """Park while the daemon stops; raise when the run was cancelled or is over its time."""
        self.park()
        if self._control.stalled:
            raise TransientError(self._control.stalled)
        if self._control.stop.is_set():
            raise CancelledRun(self._control.reason or "cancelled")
        if self._late():
            raise TransientError(
                "the attempt ran over its time limit", hint="split the task or raise the limit"
            )

    def park(self) -> None:
        """Never returns once the daemon stops, or its work was taken over by another host."""
        self._means.guard()
        # The process is about to end. Returning would record a result that the stop made up; not returning
        # leaves the step unfinished in the store, so the next start does it again.
        if self._means.draining.is_set():
            threading.Event().wait()

    def step(self, name: str, fn: Callable[..., T], *args: Any, retry: StepRetry | None = None) -> T:
        if getattr(self._in_step, "name", ""):
            raise RuntimeError(f"step {name!r} inside step {self._in_step.name!r}: steps do not nest")
        self.park()
        self._control.signs.work()
        self._names[name] += 1
        unique = name if self._names[name] == 1 else f"{name}#{self._names[name]}"
        label = f"{unique}@{self._part}" if self._part else unique
        kept = self._durable(label, lambda: self._act(label, fn, args, retry))
        if "error" in kept:
            raise codec.load_error(kept["error"])
        return codec.load(kept["value"], codec.result_type(fn))  # type: ignore[no-any-return]  # by annotation

    def _act(self, label: str, fn: Callable[..., Any], args: Any, retry: StepRetry | None) -> dict[str, Any]:
        # The check is part of what is kept: a replay after a crash must meet the cancel at the same step.
        try:
            self.check()
        except HandoffdError as error:
            return {"error": codec.dump_error(error)}
        store = self._means.store
        store.step_began(self.run.id, label)
        self._means.changed()
        self._in_step.name = label
        try:
            value = codec.dump(self._retrying(retry)(fn, *args))
        # Whatever a step raises is kept as data: a replay must meet the same error, of the same kind.
        except Exception as error:  # noqa: BLE001
            self.park()
            kept = codec.dump_error(error)
            store.step_ended(self.run.id, label, error=kept["message"] or kept["kind"])
            self.log.warning("step.failed", step=label, error=kept["message"], trace=kept.get("trace", ""))
            return {"error": kept}
        finally:
            self._in_step.name = ""
            self._control.signs.work()
        self.park()
        store.step_ended(self.run.id, label)
        return {"value": value}

    def _retrying(self, retry: StepRetry | None) -> tenacity.Retrying:
        policy = retry or StepRetry(attempts=1)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            named = getattr(error, "retry_after", None)
            spread = tenacity.wait_random_exponential(multiplier=policy.first, max=policy.ceiling)(state)
            return float(named) if named is not None else spread

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._again),
            stop=tenacity.stop_after_attempt(policy.attempts),
            wait=wait,
            sleep=lambda seconds: self._sleep(seconds),
            reraise=True,
        )

    def _again(self, error: BaseException) -> bool:
        return isinstance(error, TransientError) and not self.cancelled

    def _sleep(self, seconds: float) -> None:
        self._control.signs.work(for_s=seconds)
        self._control.stop.wait(min(seconds, max(0.0, self._control.deadline - self._means.monotonic())))
        self.park()

    def evidence(
        self, gate: str, kind: str, subject: str, ok: bool | None, data: Mapping[str, Any] | None = None
    ) -> None:
        self.park()
        item = Evidence(
            gate=gate,
            kind=kind,
            subject=subject,
            ok=ok,
            data=codec.dump(dict(data or {})),
            # Recorded by this run, so never earlier than its start, whatever the machine's clock did.
            at=max(self._means.clock(), self._began),
        )
        self._means.store.add_evidence(self.run.id, item)
        self._control.signs.work()

    def skip_gate(self, gate: str) -> None:
        if gate not in self.skipped:
            self.skipped.append(gate)

    def progress(self, done: float, total: float, note: str = "") -> None:
        now = self._means.monotonic()
        self._control.signs.work()
        if now - self._progress_at < 0.5 and done < total:
            return
        self._progress_at = now
        news = {"done": done, "total": total, "note": note, "at": self._means.clock()}
        self._means.store.change_run(self.run.id, progress=news)
        self.log.debug("task.progress", done=done, total=total, note=note)
        self._means.changed()

    def follow_up(self, key: str, draft: Draft) -> str:
        return self.step(
            f"follow-up {key}", self.create_once, key, draft, retry=StepRetry(attempts=10, ceiling=60.0)
        )

    def create_once(self, key: str, draft: Draft) -> str:
        """The task with this key: found, else made, under the caps of follow-ups. Inside a step."""
        known = self._means.store.made_with(key)
        if known is not None:
            return known.task
        self._may_make(key)
        task = self._means.board.create(replace(draft, source_key=key))
        made = Made(
            key=key,
            run=self.run.id,
            task=task.id,
            title=task.title,
            priority=task.priority.label,
            handler=task.handler,
            created=task.created.timestamp() >= self.run.started.timestamp() - 60,  # minute granularity
            at=self._means.clock(),
        )
        self._means.store.made(made)
        self._means.store.event("task.created", task=task.id, run=self.run.id, key=key)
        return task.id

    def _may_make(self, key: str) -> None:
        limits = self._means.lineage()
        at = self._means.store.lineage(self.run.task_id, self.run.id, limits.depth)
        refusal = limits.refusal(at)
        if refusal:
            self._means.store.event(
                "task.breeding_stopped", task=self.run.task_id, run=self.run.id, key=key, reason=refusal
            )
            raise BlockedError(
                f"the follow-up “{one_line(key, 80)}” was not made: {refusal}",
                hint="make it by hand if it is wanted, or raise run.follow_up_depth, run.follow_ups or "
                "run.follow_up_family",
            )

    def comment(self, key: str, text: str) -> None:
        self.step(f"comment {key}", self._comment, key, text, retry=StepRetry(attempts=10, ceiling=60.0))

    def _comment(self, key: str, text: str) -> None:
        self._means.board.comment(self.run.task_id, f"{self.run.id}:{key}", text)

    def body(self) -> str:
        return self._means.board.body(self.run.task_id)

    def child(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        silence: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
        on_line: Callable[[str], None] | None = None,
        keep: int = 65536,
        max_file: int | None = None,
        max_memory: int | None = None,
        one_core: bool = False,
    ) -> ChildResult:
        self.check()
        left = max(1.0, self._control.deadline - self._means.monotonic())
        result = run_child(
            argv,
            timeout=min(timeout, left),
            silence=silence,
            env=env,
            cwd=cwd or self.workdir,
            stdin=stdin,
            on_line=on_line,
            keep=keep,
            max_file=max_file,
            max_memory=max_memory,
            one_core=one_core,
            cancelled=lambda: self.cancelled or self._means.draining.is_set(),
            signs=self._control.signs,
        )
        if result.ended == "cancelled":
            self.check()
        return result

    def history(
        self, since: datetime, until: datetime | None = None, *, handler: str = "", limit: int = 10_000
    ) -> list[RunRecord]:
        store = self._means.store
        end = until.timestamp() if until else None
        found = store.runs(since=since.timestamp(), until=end, handler=handler or None, limit=limit)
        return [past.record(store, run) for run in reversed(found)]

    def open_tasks(self, limit: int = 50) -> list[OpenTask]:
        return past.open_tasks(self._means.store, self._handler, self.run.task_id, limit)

    def rows(self, name: str) -> Rows | None:
        return self._means.rows(name)

    def secret(self, name: str) -> str | None:
        return self._means.secret(name)
