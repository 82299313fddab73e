"""The overview: everything that the first page and /api/v1/state show, gathered with bounded queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.core.gates import Call, Decision
from daemon.core.snapshot import Snapshot
from daemon.core.status import RunState, Status
from daemon.core.task import Task
from daemon.store import Run, Step, Store
from daemon.store.hosts import Hosts
from daemon.web.attention import TROUBLE, TROUBLE_RUNS, Need, needs
from daemon.web.hosts import HostView, roll
from daemon.web.shelf import Seen, count

RECENT = 8
"""Ended attempts on the first page."""
TROUBLED = 100
"""Attempts in trouble that are looked at when the board can't be asked."""
DAY = 86400.0

_ENDED = (RunState.COMPLETED, RunState.FAILED, RunState.BLOCKED, RunState.REVIEW, RunState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """An attempt under way and the step that it is in."""

    run: Run
    step: Step | None
    steps_done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """A Ready task and what the last tick said of it."""

    task: Task
    decision: Decision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What is known at ``now`` (epoch seconds)."""

    now: float
    snapshot: Snapshot
    needs: Sequence[Need]
    counts: Mapping[str, int]
    """Status, in lower case, → tasks on the board; plus ``retrying``."""
    working: Sequence[Working]
    upcoming: Sequence[Next]
    recent: Sequence[Run]
    total: int
    """Attempts in the store."""
    done: int
    """Of them, those that ended Completed."""
    hosts: Sequence[HostView]
    """Of the store, this one first."""


def gather(
    store: Store,
    snapshot: Snapshot,
    seen: Seen,
    *,
    totals: Mapping[tuple[str, str], int],
    hosts: Hosts,
    me: str,
    interval: float,
    now: float,
) -> Overview:
    """``me``: this host's name. Each query has a limit or goes over an index; ``totals`` is
    ``Store.counts``, which has neither."""
    active = store.active_runs()
    troubled = seen.by_status(*TROUBLE)
    unread: list[Run] = []
    if seen.read_at is None:
        unread = _open_trouble(store, snapshot)
    latest = store.latest_runs([t.id for t in troubled])
    waiting = [r for r in active if r.state is RunState.WAITING]
    working = [r for r in active if r.state is not RunState.WAITING]
    counts = {s.value.lower(): n for s, n in count(seen.tasks).items()}
    if seen.read_at is None:
        for run in unread:
            counts[run.state.value] = counts.get(run.state.value, 0) + 1
    ready = [t for t in snapshot.tasks if t.status is Status.READY]
    held = [Next(task=t, decision=snapshot.decisions.get(t.id)) for t in ready]
    counts["retrying"] = sum(1 for n in held if n.decision is not None and n.decision.gate == "backoff")
    return Overview(
        now=now,
        snapshot=snapshot,
        needs=needs(
            snapshot,
            tasks=troubled,
            unread=unread,
            latest=latest,
            waiting=waiting,
            interval=interval,
            now=now,
        ),
        counts=counts,
        working=[_working(store, run) for run in working],
        upcoming=sorted(held, key=_order),
        recent=_recent(store),
        total=sum(totals.values()),
        done=sum(n for (_, state), n in totals.items() if state == RunState.COMPLETED.value),
        hosts=roll(hosts.all(), active, me=me, shared=hosts.shared),
    )


def _recent(store: Store) -> list[Run]:
    # The newest by start are found over an index, those of a state are not: look there first.
    found = [r for r in store.runs(limit=5 * RECENT) if r.state in _ENDED]
    return (found if len(found) >= RECENT else store.runs(states=_ENDED, limit=RECENT))[:RECENT]


def _open_trouble(store: Store, snapshot: Snapshot) -> list[Run]:
    found = store.runs(states=TROUBLE_RUNS, limit=TROUBLED)
    newest = store.latest_runs([r.task for r in found])
    moved = {t.id for t in snapshot.tasks}
    return [r for r in found if newest[r.task].run == r.run and r.task not in moved]


def _working(store: Store, run: Run) -> Working:
    steps = store.steps(run.run)
    current = next((s for s in reversed(steps) if s.state == "running"), None)
    return Working(run=run, step=current, steps_done=sum(1 for s in steps if s.state == "done"))


def _order(item: Next) -> tuple[int, int, float]:
    said = item.decision
    held = 0 if said is None or said.verdict is Call.DISPATCH or said.gate == "capacity" else 1
    return (held, int(item.task.priority), item.task.created.timestamp())
