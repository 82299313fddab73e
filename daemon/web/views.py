"""The pages for reading. Each gathers what it shows with bounded queries and hands it to its template."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daemon.core import ids
from daemon.core.errors import HandoffdError, NotFound
from daemon.core.evidence import Evidence, GateResult, Judged, files_of
from daemon.core.gates import Decision
from daemon.core.status import RunState, Status
from daemon.core.task import Priority, Task
from daemon.store import Run, Step
from daemon.web import marks, report_files, room
from daemon.web.answers import Refusal
from daemon.web.api import run_of, task_id
from daemon.web.hosts import LISTED
from daemon.web.room import Room
from daemon.web.scores import GATES, handler_scores, handoff_scores, oldest_first

PAGE = 50
"""Rows of a list."""
COLUMN = 60
"""Cards of a column; the board has the rest."""
ATTEMPTS = 20
"""Attempts on a task's page, of which the newest ``OPEN`` are shown whole."""
OPEN = 3
EVENTS = 1000
LATEST = 100
"""Attempts of a handler whose times are measured."""

COLUMNS = (
    ("Draft", (Status.DRAFT, Status.PLANNING)),
    ("Ready", (Status.READY,)),
    ("In Progress", (Status.IN_PROGRESS,)),
    ("Waiting", (Status.WAITING,)),
    ("Review", (Status.REVIEW,)),
    ("Blocked", (Status.BLOCKED,)),
    ("Failed", (Status.FAILED,)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt with all that was recorded of it."""

    run: Run
    steps: tuple[Step, ...]
    gates: tuple[Judged, ...]
    evidence: Mapping[str, tuple[Evidence, ...]]
    files: tuple[Mapping[str, Any], ...]
    has_report: bool

    @property
    def longest(self) -> float:
        """Seconds of the longest step, for the bars."""
        return max((s.seconds or 0.0 for s in self.steps), default=0.0)

    @property
    def passed(self) -> int:
        """Required gates that passed."""
        return sum(1 for g in self.gates if g.required and g.result is GateResult.PASSED)

    @property
    def required(self) -> int:
        """Required gates that apply."""
        return sum(1 for g in self.gates if g.required and g.result is not GateResult.NOT_APPLICABLE)


def attempt(here: Room, run: Run) -> Attempt:
    """Everything recorded of ``run``."""
    store = here.parts.store
    evidence = store.evidence(run.run)
    by_gate: dict[str, list[Evidence]] = {}
    for fact in evidence:
        by_gate.setdefault(fact.gate, []).append(fact)
    return Attempt(
        run=run,
        steps=tuple(store.steps(run.run)),
        gates=tuple(store.gates(run.run)),
        evidence={k: tuple(v) for k, v in by_gate.items()},
        files=tuple(files_of(evidence)),
        has_report=report_files.folder_of(here.parts.reports, run) is not None,
    )


def overview(request: Request) -> Response:
    """The first page."""
    here = room.of(request)
    view = here.overview()
    with_report = {r.run for r in view.recent if report_files.folder_of(here.parts.reports, r) is not None}
    proved = here.parts.store.proved([r.run for r in view.recent])
    return here.page(
        request, "overview", view=view, seen=here.shelf.see(), with_report=with_report, proved=proved
    )


def tasks(request: Request) -> Response:
    """The board: columns by status, and the form that adds a task."""
    here = room.of(request)
    return here.page(request, "tasks", **board_view(here, request, form={}, problem=None))


def board_view(
    here: Room, request: Request, *, form: Mapping[str, str], problem: Refusal | None
) -> dict[str, Any]:
    """What the tasks page shows; ``form`` and ``problem`` when an added task was not accepted."""
    seen, snapshot = here.see(), here.parts.snapshot()
    columns = []
    for name, statuses in COLUMNS:
        found = seen.by_status(*statuses)
        if name == "Ready":
            found.sort(key=lambda t: (int(t.priority), t.created))
        columns.append((name, marks.STATUS[statuses[0]], found[:COLUMN], len(found)))
    active = {r.task: r for r in here.parts.store.active_runs()}
    done = here.parts.store.runs(states=(RunState.COMPLETED,), limit=COLUMN // 2)
    return {
        "columns": columns,
        "done": list({r.task: r for r in done}.values()),
        "done_mark": marks.STATUS[Status.COMPLETED],
        "active": active,
        "seen": seen,
        "empty": not seen.tasks and not done,
        "handlers": [h.name for h in snapshot.handlers if h.state in ("loaded", "paused")],
        "priorities": [p.label for p in Priority],
        "form": form,
        "problem": problem,
        "key": secrets.token_hex(12),
        "adding": problem is not None or "add" in request.query_params,
    }


def task(request: Request) -> Response:
    """One task: why it stands where it stands, and every attempt."""
    here = room.of(request)
    identifier = task_id(request.path_params["task"])
    store = here.parts.store
    runs = store.runs(task=identifier, limit=ATTEMPTS + 1)
    found, trouble = _task(here, identifier)
    if found is None and not runs:
        raise Refusal(404, "not_found", "There is no task with this id.", trouble)
    return here.page(
        request,
        "task",
        id=identifier,
        task=found,
        trouble=trouble,
        decision=_decision(here, identifier),
        attempts=[attempt(here, r) for r in runs[:OPEN]],
        older=runs[OPEN:ATTEMPTS],
        more=len(runs) > ATTEMPTS,
        events=store.events(task=identifier, limit=EVENTS)[-40:][::-1],
        title=found.title if found is not None else runs[0].title,
        dashed=ids.dashed(identifier),
    )


def _decision(here: Room, identifier: str) -> Decision | None:
    """The newest record: the tick's own, or what the attempt left behind it."""
    said = (here.parts.snapshot().decisions.get(identifier), here.parts.store.decision(identifier))
    return max((d for d in said if d is not None), key=lambda d: d.at, default=None)


def _task(here: Room, identifier: str) -> tuple[Task | None, str]:
    try:
        return here.shelf.get(identifier), ""
    except NotFound as error:
        return None, error.one_line()
    except HandoffdError as error:
        return None, f"the board could not be asked: {error.one_line()}"


def runs(request: Request) -> Response:
    """Attempts, newest first, filtered by state and handler; ``before`` (epoch s) turns the page."""
    here = room.of(request)
    query = request.query_params
    state = next((s for s in RunState if s.value == query.get("state")), None)
    handler = query.get("handler", "")[:80] or None
    try:
        before = float(query["before"]) if "before" in query else None
    except ValueError:
        raise Refusal(404, "not_found", "That is not a place in the list.") from None
    found = here.parts.store.runs(
        states=None if state is None else (state,), handler=handler, until=before, limit=PAGE + 1
    )
    counts = here.totals()
    return here.page(
        request,
        "runs",
        runs=found[:PAGE],
        next_before=repr(found[PAGE - 1].started) if len(found) > PAGE else "",
        paged=before is not None,
        state=state.value if state else "",
        handler=handler or "",
        handlers=sorted({h for h, _ in counts} | ({handler} if handler else set())),
        states=[(s, sum(n for (_, at), n in counts.items() if at == s.value)) for s in RunState],
        total=sum(counts.values()),
    )


def run(request: Request) -> Response:
    """One attempt."""
    here = room.of(request)
    found = run_of(request)
    return here.page(
        request,
        "run",
        attempt=attempt(here, found),
        made=here.parts.store.made_by(found.run),
        events=here.parts.store.events(run=found.run, limit=EVENTS)[-40:][::-1],
    )


def handoffs(request: Request) -> Response:
    """What was handed out and waits, oldest first; and how each agent did."""
    here = room.of(request)
    waiting = here.parts.store.runs(states=(RunState.WAITING,), limit=200)
    past = here.parts.store.runs(handler="handoff", limit=500)
    facts = here.parts.store.facts([r.run for r in (*past, *waiting)], GATES)
    return here.page(
        request,
        "handoffs",
        waiting=oldest_first(waiting),
        agents=handoff_scores(past, waiting, facts),
        past=[r for r in past if r.state is not RunState.WAITING][:20],
    )


def agents(request: Request) -> Response:
    """The agents' table is part of the handoffs page."""
    return RedirectResponse("/handoffs#agents", 308)


def reports(request: Request) -> Response:
    """Attempts that have a report, newest first."""
    here = room.of(request)
    found = [r for r in here.parts.store.runs(limit=10 * PAGE) if r.report]
    shown = [r for r in found[: 2 * PAGE] if report_files.folder_of(here.parts.reports, r) is not None]
    return here.page(request, "reports", runs=shown, gone=min(len(found), 2 * PAGE) - len(shown))


def report(request: Request) -> Response:
    """One report inside the dashboard's frame; the report itself stands in a sandbox."""
    here = room.of(request)
    found = run_of(request)
    if report_files.folder_of(here.parts.reports, found) is None:
        report_files.read(here.parts.reports, found, "report.html")
    return here.page(request, "report", run=found)


def report_file(request: Request) -> Response:
    """One of a report's three files."""
    found = run_of(request)
    name = request.path_params["name"]
    body = report_files.read(room.of(request).parts.reports, found, name)
    headers = {"content-security-policy": report_files.SANDBOX, "x-frame-options": "SAMEORIGIN"}
    return Response(body, headers=headers, media_type=report_files.FILES[name])


def schedules(request: Request) -> Response:
    """Schedules with their next slot, and what became of the past ones."""
    here = room.of(request)
    return here.page(request, "schedules", slots=here.parts.store.occurrences(limit=PAGE))


def handlers(request: Request) -> Response:
    """Handlers with their state and how their attempts ended."""
    here = room.of(request)
    store, snapshot = here.parts.store, here.parts.snapshot()
    names = [h.name for h in snapshot.handlers]
    latest = {n: store.runs(handler=n, limit=LATEST) for n in names}
    return here.page(
        request,
        "handlers",
        handlers=snapshot.handlers,
        latest=LATEST,
        scores=handler_scores(latest, here.totals()),
    )


def health(request: Request) -> Response:
    """Is it alive, can it work, and what does it talk to."""
    here = room.of(request)
    return here.page(
        request,
        "health",
        checks=here.parts.readiness(),
        store=here.parts.store.id,
        desk=here.desk,
        can_pair=here.parts.keep_webhook_secret is not None and here.desk.secret is None,
        now_seen=here.shelf.see(),
        interval=here.parts.interval,
        streams=here.stream.listening,
        hosts=here.fleet(),
        shared=here.hosts.shared,
        listed=LISTED,
        last=here.parts.store.last_events(20)[::-1],
    )
