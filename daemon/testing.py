"""Fakes that ship: what a handler's author, and our own tests, run against instead of mocks.

``MemoryBoard`` is the ``Board`` port in memory; it passes the same contract tests as the real client.
``run_handler`` runs one handler on one task with a Context whose steps happen at once.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.core.claim import Claim, Verify
from daemon.core.errors import CancelledRun, Fenced, NotFound
from daemon.core.evidence import Evidence, Judged, judge
from daemon.core.outcome import Outcome
from daemon.core.ports import BoardInfo, PageWrite
from daemon.core.status import OURS, Status
from daemon.core.task import Draft, Priority, Task
from daemon.engine import codec
from daemon.engine.child import run_child
from daemon.engine.policy import outcome_of
from daemon.engine.registry import parse_parameters, typed_parameters
from daemon.sdk import ChildResult, OpenTask, Rows, RunInfo, RunRecord, StepRetry, handler


class MemoryBoard:
    """A board in memory. ``fail`` is called with each purpose first and may raise: a fault, injected."""

    def __init__(
        self, clock: Callable[[], float], fail: Callable[[str], None] = lambda purpose: None
    ) -> None:
        self._clock = clock
        self.fail = fail
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._calls: Counter[str] = Counter()
        self.pages: dict[str, Task] = {}
        self.sections: dict[str, str] = {}
        self.bodies: dict[str, str] = {}
        self.comments: dict[str, dict[str, str]] = {}
        self.history: list[tuple[str, str]] = []
        """(task id, status) of every change, in order."""

    def _call(self, purpose: str) -> None:
        self._calls[purpose] += 1
        self.fail(purpose)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _put(self, task: Task) -> Task:
        before = self.pages.get(task.id)
        task = replace(task, status_name=task.status.value if task.status else "", edited=self._now())
        if before is None or before.status is not task.status:
            self.history.append((task.id, task.status_name))
        self.pages[task.id] = task
        return task

    def open(self) -> BoardInfo:
        self._call("open")
        return BoardInfo(title="Memory", url="memory:", data_source_id="0" * 32, bound={}, missing=())

    def look(self) -> list[Task]:
        self._call("look")
        wanted = (Status.READY, *OURS)
        with self._lock:
            return sorted((t for t in self.pages.values() if t.status in wanted), key=lambda t: t.created)

    def get(self, task_id: str) -> Task:
        self._call("get")
        return self._page(task_id)

    def _page(self, task_id: str) -> Task:
        try:
            return self.pages[task_id]
        except KeyError:
            raise NotFound(f"no page {task_id}", hint="is it shared with the integration?") from None

    def list(self, status: Status | None = None) -> list[Task]:
        self._call("list")
        found = [t for t in self.pages.values() if status is None or t.status is status]
        return sorted(found, key=lambda t: t.created, reverse=True)

    def claim(self, task: Task, claim: Claim, attempts: int) -> Task:
        self._call("claim")
        with self._lock:
            page = self._page(task.id)
            if claim.same_hold(page.claim):
                return page
            if page.status is not Status.READY:
                raise Fenced(f"the page is not Ready any more: {page.status_name}")
            if page.claim is not None and page.claim.generation >= claim.generation:
                raise Fenced(f"the page has generation {page.claim.generation} already")
            return self._put(replace(page, status=Status.IN_PROGRESS, claim=claim, attempts=attempts, why=""))

    def claim_in_time(
        self, task: Task, claim: Claim, attempts: int, verify: Verify, over: Claim | None = None
    ) -> Task:
        if over is None:
            return self.claim(task, claim, attempts)
        self._call("claim")
        with self._lock:
            page = self._page(task.id)
            if page.status is not Status.IN_PROGRESS or page.claim != over:
                raise Fenced("the page does not carry the lapsed claim any more")
            return self._put(replace(page, claim=claim, attempts=attempts, why=""))

    def write(self, task_id: str, held: Claim, change: PageWrite) -> Task:
        self._call("write")
        with self._lock:
            page = self._page(task_id)
            if not held.same_hold(page.claim):
                raise Fenced("the page carries another claim")
            ended = page.claim is not None and page.claim.lease_until_ms == 0
            status = change.status if page.status in OURS and not ended else None
            new: dict[str, Any] = {
                "status": status,
                "result": change.result,
                "why": change.why,
                "report": change.report,
                "attempts": change.attempts,
                "claim": None if ended else change.claim,
            }
            return self._put(replace(page, **{k: v for k, v in new.items() if v is not None}))

    def note(self, task_id: str, *, why: str, status: Status | None = None) -> None:
        self._call("note")
        with self._lock:
            page = self._page(task_id)
            if page.status is Status.READY:
                self._put(replace(page, why=why, status=status or page.status))

    def set_status(self, task_id: str, status: Status) -> Task:
        self._call("set_status")
        with self._lock:
            return self._put(replace(self._page(task_id), status=status))

    def body(self, task_id: str) -> str:
        self._call("body")
        self._page(task_id)
        return self.bodies.get(task_id, "")

    def section(self, task_id: str, run_id: str, markdown: str) -> None:
        self._call("section")
        self._page(task_id)
        self.sections[task_id] = markdown

    def create(self, draft: Draft) -> Task:
        self._call("create")
        with self._lock:
            if draft.source_key:
                for page in self.pages.values():
                    if page.source_key == draft.source_key:
                        return page
            number = next(self._ids)
            self.bodies[f"{number:032x}"] = draft.body
            return self._put(
                Task(
                    id=f"{number:032x}",
                    title=draft.title,
                    status=draft.status,
                    priority=draft.priority,
                    handler=draft.handler,
                    agents=(draft.agent,) if draft.agent else (),
                    task_type=draft.task_type,
                    url=draft.url,
                    description=draft.description,
                    parameters=draft.parameters,
                    acceptance=draft.acceptance,
                    due=draft.due,
                    after=draft.after,
                    source_key=draft.source_key,
                    number=number,
                    page_url=f"memory:{number}",
                    created=self._now(),
                    edited=self._now(),
                )
            )

    def comment(self, task_id: str, key: str, text: str) -> None:
        self._call("comment")
        self.comments.setdefault(task_id, {}).setdefault(key, text)

    def calls(self) -> Mapping[str, int]:
        return dict(self._calls)


class QuietLog:
    """A log that keeps what was said in ``lines``."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def _say(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.lines.append((level, event, fields))

    def debug(self, event: str, **fields: Any) -> None:
        self._say("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._say("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._say("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._say("error", event, fields)


@dataclass
class DirectContext:
    """A Context whose steps run at once; results still go through JSON and back, as in the daemon."""

    run: RunInfo
    settings: Any
    home: Path
    workdir: Path
    log: QuietLog = field(default_factory=QuietLog)
    cancelled: bool = False
    records: list[RunRecord] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    recorded: list[Evidence] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    made: dict[str, Draft] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    shown: list[tuple[float, float, str]] = field(default_factory=list)
    others: list[OpenTask] = field(default_factory=list)
    page_body: str = ""
    databases: dict[str, Rows] = field(default_factory=dict)

    def step(self, name: str, fn: Callable[..., Any], *args: Any, retry: StepRetry | None = None) -> Any:
        if self.cancelled:
            raise CancelledRun("cancelled")
        self.steps.append(name)
        return codec.load(codec.dump(fn(*args)), codec.result_type(fn))

    def evidence(
        self, gate: str, kind: str, subject: str, ok: bool | None, data: Mapping[str, Any] | None = None
    ) -> None:
        if any((e.gate, e.subject) == (gate, subject) for e in self.recorded):
            return
        at = self.run.started.timestamp()
        kept = codec.dump(dict(data or {}))
        self.recorded.append(Evidence(gate=gate, kind=kind, subject=subject, ok=ok, data=kept, at=at))

    def skip_gate(self, gate: str) -> None:
        self.skipped.append(gate)

    def progress(self, done: float, total: float, note: str = "") -> None:
        self.shown.append((done, total, note))

    def follow_up(self, key: str, draft: Draft) -> str:
        self.made.setdefault(key, draft)
        return f"{list(self.made).index(key) + 1:032x}"

    def comment(self, key: str, text: str) -> None:
        self.comments.setdefault(key, text)

    def body(self) -> str:
        return self.page_body

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
        return run_child(
            argv,
            timeout=timeout,
            silence=silence,
            env=env,
            cwd=cwd or self.workdir,
            stdin=stdin,
            on_line=on_line,
            keep=keep,
            max_file=max_file,
            max_memory=max_memory,
            one_core=one_core,
            cancelled=lambda: self.cancelled,
        )

    def history(
        self, since: datetime, until: datetime | None = None, *, handler: str = "", limit: int = 10_000
    ) -> list[RunRecord]:
        end = until.timestamp() if until else float("inf")
        found = [r for r in self.records if since.timestamp() <= r.started < end]
        return [r for r in found if handler in ("", r.handler)][-limit:]

    def open_tasks(self, limit: int = 50) -> list[OpenTask]:
        return self.others[:limit]

    def rows(self, name: str) -> Rows | None:
        return self.databases.get(name)

    def secret(self, name: str) -> str | None:
        return self.secrets.get(name)


@dataclass(frozen=True, kw_only=True)
class HandlerRun:
    """What ``run_handler`` saw."""

    outcome: Outcome
    judged: list[Judged]
    context: DirectContext


def sample_task(**fields: Any) -> Task:
    """A Ready task; any field can be given."""
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    base: dict[str, Any] = {
        "id": "a" * 32,
        "title": "A task",
        "status": Status.READY,
        "status_name": "Ready",
        "priority": Priority.MEDIUM,
        "page_url": "memory:1",
        "created": at,
        "edited": at,
    }
    return Task(**{**base, **fields})


def run_handler(
    cls: type, task: Task, home: Path, *, settings: Any = None, context: DirectContext | None = None
) -> HandlerRun:
    """Run ``cls`` on ``task`` once, with the daemon's own policy for what it raises, and judge its gates."""
    made: Any = handler(cls)()
    ctx = context or DirectContext(
        run=RunInfo(
            id=f"{task.id}.g1",
            task_id=task.id,
            generation=1,
            attempt=1,
            started=datetime(2026, 1, 2, 3, 5, tzinfo=UTC),
            host="test",
        ),
        settings=settings if settings is not None else made.Settings(),
        home=home,
        workdir=home,
    )
    params = typed_parameters(made.Params, parse_parameters(task.parameters))
    try:
        outcome: Outcome = made.run(task, params, ctx)
    # The daemon's policy decides what an exception means; so it does here.
    except Exception as error:  # noqa: BLE001
        outcome = outcome_of(error)
    judged = judge(made.gates, ctx.recorded, started=ctx.run.started.timestamp(), skipped=ctx.skipped)
    return HandlerRun(outcome=outcome, judged=judged, context=ctx)
