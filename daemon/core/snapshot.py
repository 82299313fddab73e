"""What the last tick saw and said: the one read model behind dashboard, API, metrics and CLI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from daemon.core.gates import Decision
from daemon.core.ports import BoardInfo
from daemon.core.status import RunState, Status
from daemon.core.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerRecord:
    """One registered handler. ``state``: loaded | paused | disabled | load_error | config_error |
    check_failed."""

    name: str
    state: str
    dist: str
    version: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Published whole at the end of each tick; times are epoch seconds.

    ``board_error`` "" = the last look succeeded; otherwise ``tasks`` are those of the last good look, which
    was at ``looked_at``.
    """

    started_at: float
    at: float
    looked_at: float | None
    board_error: str
    next_tick: float | None
    board: BoardInfo | None
    tasks: tuple[Task, ...] = ()
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    running: tuple[str, ...] = ()
    """Run ids that this process is working on."""
    places: int = 0
    handlers: tuple[HandlerRecord, ...] = ()
    store_error: str = ""
    """Why the last tick could not keep what it decided; "" = it could."""
    settings_error: str = ""
    """Why the last reload was refused; the last good settings are in force."""
    draining: bool = False
    ticks: int = 0
    board_calls: Mapping[str, int] = field(default_factory=dict)
    schedules: tuple[Mapping[str, object], ...] = ()
    """{"name", "cron", "timezone", "next", "last"} for each schedule."""


def brought_up(snapshot: Snapshot, latest: Mapping[str, tuple[RunState, float]]) -> Snapshot:
    """``snapshot`` with what our own runs did since the look: a task that was claimed is not Ready any more,
    one that ended is not open any more.

    ``latest``: task id → (state of its newest attempt, when that state was reached, epoch s).
    """
    seen = snapshot.looked_at if snapshot.looked_at is not None else float("inf")
    newer = {i: state for i, (state, at) in latest.items() if at >= seen}
    shown = {RunState.WAITING: Status.WAITING, RunState.RUNNING: Status.IN_PROGRESS}
    shown[RunState.CLAIMING] = Status.IN_PROGRESS
    tasks = []
    for task in snapshot.tasks:
        state = newer.get(task.id)
        if state is None or state is RunState.RETRYING:
            tasks.append(task)
        elif not state.final:
            tasks.append(replace(task, status=shown[state], status_name=shown[state].value))
    decisions = {i: d for i, d in snapshot.decisions.items() if i not in newer}
    return replace(snapshot, tasks=tuple(tasks), decisions=decisions)
