"""What needs a person, most urgent first. Pure: what is known + now → a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.core.snapshot import Snapshot
from daemon.core.status import RunState, Status
from daemon.core.task import Task
from daemon.store import Run
from daemon.web import marks
from daemon.web.ages import age, span
from daemon.web.marks import Mark

TOO_LONG = 24 * 3600.0
"""Seconds after which a wait on an agent or a person is worth a look."""
LATE = 3.0
"""Intervals without a tick before the daemon counts as stuck (research/style.md §4.8)."""

TROUBLE = (Status.FAILED, Status.BLOCKED, Status.REVIEW)
TROUBLE_RUNS = (RunState.FAILED, RunState.BLOCKED, RunState.REVIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing to look at. ``link`` is a path of the dashboard; ``retry`` the id of a task that a person
    may set Ready again; ``since`` epoch seconds."""

    kind: str
    mark: Mark
    title: str
    text: str
    todo: str = ""
    link: str = ""
    since: float | None = None
    retry: str = ""

    def json(self) -> dict[str, Any]:
        """For /api/v1/state."""
        names = ("kind", "title", "text", "todo", "link", "since")
        return {n: getattr(self, n) for n in names} | {"task": self.retry}


def stale(snapshot: Snapshot, interval: float, now: float) -> float | None:
    """Seconds since the last tick when that is too long ago, else None.

    A tick that plans its successor later than ``interval`` (back-off while the board fails) is held to its
    own plan.
    """
    planned = interval if snapshot.next_tick is None else max(interval, snapshot.next_tick - snapshot.at)
    gap = now - snapshot.at
    return gap if gap >= LATE * planned else None


def needs(
    snapshot: Snapshot,
    *,
    tasks: Sequence[Task],
    unread: Sequence[Run],
    latest: Mapping[str, Run],
    waiting: Iterable[Run],
    interval: float,
    now: float,
) -> list[Need]:
    """``tasks`` in trouble as the board has them; ``unread``: the last attempts that ended in trouble, for
    when the board could not be asked; ``latest``: task → its newest attempt."""
    out = list(_daemon(snapshot, interval, now))
    order = {Status.FAILED: 0, Status.BLOCKED: 1, Status.REVIEW: 2}
    troubled = [t for t in tasks if t.status in order]
    for task in sorted(troubled, key=lambda t: (order.get(t.status or Status.FAILED, 9), -_when(t, latest))):
        out.append(_task(task, latest.get(task.id)))
    named = {t.id for t in tasks}
    out.extend(_run(run) for run in unread if run.task not in named)
    for run in sorted(waiting, key=lambda r: r.started):
        if now - run.started >= TOO_LONG:
            waits = one(run.wait_for) or "an answer"
            out.append(
                Need(
                    kind="waiting",
                    mark=marks.RUN[RunState.WAITING],
                    title=run.title,
                    text=f"has waited {age(now - run.started)} for {waits}",
                    todo="ask the agent, or set the task Ready to deliver it again",
                    link=f"/tasks/{run.task}",
                    since=run.started,
                )
            )
    return out


def one(text: str) -> str:
    """``text`` without its final full stop, to stand within a sentence."""
    return text.strip().removesuffix(".")


def _daemon(snapshot: Snapshot, interval: float, now: float) -> Iterable[Need]:
    bad = Mark("!", "bad", "problem")
    gap = stale(snapshot, interval, now)
    if gap is not None:
        yield Need(
            kind="stale",
            mark=bad,
            title="No tick has finished lately",
            text=f"the last one ended {span(gap)} ago; what you see here is from then",
            todo="see the daemon's log; systemd restarts it when its watchdog is on",
            link="/health",
            since=snapshot.at,
        )
    if snapshot.store_error:
        yield Need(
            kind="store",
            mark=bad,
            title="The store can't be written",
            text=snapshot.store_error,
            todo="nothing new is begun until then; what runs waits and goes on by itself",
            link="/health",
        )
    if snapshot.board_error:
        yield Need(
            kind="board",
            mark=bad,
            title="The board does not answer",
            text=snapshot.board_error,
            todo="nothing is lost: it is asked again at the next tick; `handoffd doctor` checks the access",
            link="/health",
            since=snapshot.looked_at,
        )
    if snapshot.settings_error:
        yield Need(
            kind="settings",
            mark=bad,
            title="The changed settings were refused",
            text=snapshot.settings_error,
            todo="the last good ones are in force; correct handoffd.toml, it is read again at once",
            link="/health",
        )
    for record in snapshot.handlers:
        if record.state not in ("loaded", "disabled"):
            yield Need(
                kind="handler",
                mark=marks.of_handler(record.state),
                title=f"Handler {record.name}",
                text=record.reason,
                todo=(
                    "nothing is lost: its tasks stay Ready; `handoffd doctor` checks what it needs"
                    if record.state == "paused"
                    else "`handoffd doctor` says how to mend it"
                ),
                link="/handlers",
            )


def _when(task: Task, latest: Mapping[str, Run]) -> float:
    run = latest.get(task.id)
    return run.ended if run is not None and run.ended is not None else task.edited.timestamp()


def _task(task: Task, run: Run | None) -> Need:
    why, _, todo = (task.why or (run.why if run else "")).partition(" → ")
    if not why:
        why = task.result or "the page does not say why"
    status = task.status or Status.FAILED
    return Need(
        kind=status.value.lower(),
        mark=marks.STATUS[status],
        title=task.title,
        text=why,
        todo=todo or _usual(status),
        link=f"/tasks/{task.id}",
        since=run.ended if run is not None and run.ended is not None else task.edited.timestamp(),
        retry=task.id,
    )


def _run(run: Run) -> Need:
    why, _, todo = run.why.partition(" → ")
    return Need(
        kind=run.state.value,
        mark=marks.RUN[run.state],
        title=run.title,
        text=why or run.summary,
        todo=todo or _usual(Status(run.state.value.capitalize())),
        link=f"/tasks/{run.task}",
        since=run.ended,
        retry=run.task,
    )


def _usual(status: Status) -> str:
    if status is Status.REVIEW:
        return "look at the report, then set Completed, or Ready to do it again"
    return "set Ready to try again"
