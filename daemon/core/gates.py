"""Dispatch gates: for every candidate either "dispatch" or the first gate that holds it, with the reason.

Pure: task + what is known + now → Decision. The decision is recorded; ``handoffd why`` shows the record and
never computes it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from daemon.core.fleet import HostFacts, elsewhere
from daemon.core.routing import Route
from daemon.core.status import DISPATCHABLE, Status
from daemon.core.task import Task
from daemon.core.text import one_line


class Call(StrEnum):
    """What the tick does about a task. Values are shown by ``why --json`` as ``verdict``."""

    DISPATCH = "dispatch"
    HOLD = "hold"
    """Stays Ready; the reason may pass by itself."""
    REFUSE = "refuse"
    """A person has to change something: the page becomes Blocked with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One task, one tick. Times are epoch seconds; ``next_look`` None = when the page changes.

    ``since`` is when this gate first held the task. ``on_page``: worth a line in the page's Why
    (queueing is not: it would cost a write a task).
    """

    task_id: str
    title: str
    verdict: Call
    gate: str
    reason: str
    would_change: str
    since: float
    at: float
    next_look: float | None
    handler: str = ""
    on_page: bool = False

    def why_line(self) -> str:
        """The one line for the page: what holds it and what would change it."""
        return f"{self.reason} → {self.would_change}" if self.would_change else self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerFacts:
    """What a gate needs to know of a handler. ``trouble`` says why it can't be used, "" = it can."""

    name: str
    trouble: str = ""
    refuses_past_due: bool = False
    paused_until: float | None = None
    """Epoch seconds; once it is past, one attempt at a time may try (see ``daemon.core.breaker``)."""
    paused_why: str = ""
    paused_since: float | None = None
    trial: str = ""
    """Run id of the attempt that tries whether the handler works again."""

    def held(self, now: float) -> bool:
        """Whether its pause keeps every task of it waiting now."""
        return self.paused_until is not None and (self.paused_until > now or bool(self.trial))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that the decisions of one tick may look at. Times are epoch seconds."""

    now: float
    next_tick: float
    handlers: Mapping[str, HandlerFacts]
    here: frozenset[str] | None = None
    """Handlers that this host serves; None = all."""
    me: str = ""
    hosts: tuple[HostFacts, ...] = ()
    """All hosts of a store that several share, this one too; empty = nothing is routed between hosts."""
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Task id → what it needs of a host beside its handler."""
    active: Mapping[str, str] = field(default_factory=dict)
    """Task id → run id of attempts that are under way in the store."""
    retry_at: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    """Task id → when the next attempt is due, and why it waits."""
    completed: frozenset[str] = frozenset()
    """Prerequisite ids known to be Completed."""
    unmet: Mapping[str, str] = field(default_factory=dict)
    """Prerequisite id → what is known of it ("Ready", "not readable")."""
    param_errors: Mapping[str, str] = field(default_factory=dict)
    """Task id → what is wrong with its Parameters."""
    foreign: Mapping[str, str] = field(default_factory=dict)
    """Task id → another live store that holds its claim."""
    resting: Mapping[str, float] = field(default_factory=dict)
    """Task id → until when it counts as still being typed by a person."""


def decide(task: Task, route: Route, known: Known, since: Mapping[str, tuple[str, float]]) -> Decision:
    """The first gate that holds ``task``, or dispatch. ``since``: task id → (gate, first held) last time."""
    verdict, gate, reason, would_change, next_look, on_page = _first(task, route, known)
    held_by, held_from = since.get(task.id, (gate, known.now))
    if gate == "" and held_by == QUEUED:
        held_by = ""  # it could run then and can now: the wait for a place goes on
    return Decision(
        task_id=task.id,
        title=one_line(task.title, 120),
        verdict=verdict,
        gate=gate,
        reason=reason,
        would_change=would_change,
        since=held_from if held_by == gate else known.now,
        at=known.now,
        next_look=next_look,
        handler=route.handler,
        on_page=on_page,
    )


_Found = tuple[Call, str, str, str, float | None, bool]


def _first(task: Task, route: Route, known: Known) -> _Found:
    for check in (_status, _claimed, _resting, _routed, _handler, _params, _prerequisites, _due, _wait):
        found = check(task, route, known)
        if found is not None:
            return found
    return (Call.DISPATCH, "", f"goes to {route.handler}: {route.because}", "", known.now, False)


def _status(task: Task, route: Route, known: Known) -> _Found | None:
    if task.status in DISPATCHABLE:
        return None
    said = task.status_name or (task.status.value if task.status else "no status")
    return (Call.HOLD, "status", f"status is {said}", f"set it to {Status.READY.value}", None, False)


def _claimed(task: Task, route: Route, known: Known) -> _Found | None:
    if task.id in known.active:
        run = known.active[task.id]
        return (Call.HOLD, "running", f"attempt {run} is under way", "it ends", known.next_tick, False)
    if task.id in known.foreign:
        return (
            Call.HOLD,
            "claim",
            f"another daemon's store holds it: {known.foreign[task.id]}",
            'stop that daemon, share one store, or set claim.mode = "verify"',
            known.next_tick,
            True,
        )
    return None


def _resting(task: Task, route: Route, known: Known) -> _Found | None:
    at = known.resting.get(task.id)
    if at is None or at <= known.now:
        return None
    return (
        Call.HOLD,
        "settle",
        "a person has edited it a moment ago and may still be typing",
        "nobody edits it for the seconds of claim.rest",
        at,
        False,
    )


def _routed(task: Task, route: Route, known: Known) -> _Found | None:
    if route.handler:
        return None
    names = ", ".join(sorted(known.handlers)) or "none"
    return (Call.REFUSE, "route", route.because, f"set Handler to one of: {names}", None, True)


def _handler(task: Task, route: Route, known: Known) -> _Found | None:
    where = _elsewhere(task, route, known)
    if where is not None:
        return where
    facts = known.handlers.get(route.handler)
    if facts is None:
        names = ", ".join(sorted(known.handlers)) or "none"
        asked = one_line(route.handler, 80)
        return (Call.REFUSE, "handler", f"unknown handler “{asked}”", f"use one of: {names}", None, True)
    if facts.trouble:
        return (
            Call.HOLD,
            "handler",
            f"handler {facts.name} is not usable: {facts.trouble}",
            "see `handoffd doctor`",
            known.next_tick,
            True,
        )
    if facts.held(known.now):
        return (Call.HOLD, "breaker", *_paused(facts, known), True)
    if known.here is not None and facts.name not in known.here:
        return (
            Call.HOLD,
            "host",
            f"this host does not serve {facts.name}",
            "a host that serves it takes the task",
            known.next_tick,
            False,
        )
    return None


def _paused(facts: HandlerFacts, known: Known) -> tuple[str, str, float]:
    # The same words for as long as the pause lasts: each other wording would be a write to every page.
    reason = f"handler {facts.name} is paused: {facts.paused_why}"
    until = facts.paused_until or known.now
    return (
        reason,
        "one task tries again after the pause, the others follow when it works",
        max(until, known.now),
    )


def _elsewhere(task: Task, route: Route, known: Known) -> _Found | None:
    if not any(route.handler in h.handlers for h in known.hosts) and route.handler not in known.handlers:
        return None  # no host knows it: it is a mistake of the page
    found = elsewhere(route.handler, known.needs.get(task.id, frozenset()), known.hosts, known.me)
    if found is None:
        return None
    reason, would_change, lasting = found
    return (Call.HOLD, "host", reason, would_change, known.next_tick, lasting)


def _params(task: Task, route: Route, known: Known) -> _Found | None:
    wrong = known.param_errors.get(task.id)
    if wrong is None:
        return None
    return (Call.REFUSE, "parameters", wrong, "correct Parameters, then set Ready again", None, True)


def _prerequisites(task: Task, route: Route, known: Known) -> _Found | None:
    open_ = [i for i in task.after if i not in known.completed]
    if not open_:
        return None
    named = ", ".join(f"{i} ({known.unmet.get(i, 'not readable')})" for i in open_[:3])
    more = f" and {len(open_) - 3} more" if len(open_) > 3 else ""
    return (
        Call.HOLD,
        "prerequisites",
        f"waits for {len(open_)} of {len(task.after)} prerequisite(s): {named}{more}",
        "they become Completed, or are removed from the task",
        known.next_tick,
        True,
    )


def _due(task: Task, route: Route, known: Known) -> _Found | None:
    facts = known.handlers[route.handler]
    if not facts.refuses_past_due or task.due is None or task.due.timestamp() >= known.now:
        return None
    return (
        Call.REFUSE,
        "due",
        f"the target date {task.due:%Y-%m-%d} has passed",
        "set a new Target Date, then Ready again",
        None,
        True,
    )


def _wait(task: Task, route: Route, known: Known) -> _Found | None:
    due = known.retry_at.get(task.id)
    if due is None or due[0] <= known.now:
        return None
    return (Call.HOLD, "backoff", due[1], "the waiting time ends", due[0], True)


QUEUED = "capacity"
"""The gate of what may run and finds no place; its ``since`` is what ageing counts from."""


def waited(since: tuple[str, float] | None, now: float) -> float:
    """Seconds that a task could have run, had there been a place. ``since``: its last (gate, first held)."""
    return max(0.0, now - since[1]) if since is not None and since[0] in ("", QUEUED) else 0.0


def after_trial(decision: Decision, facts: HandlerFacts, next_look: float) -> Decision:
    """The decision for a task that may go, when another one tries first whether the handler works again."""
    return replace(
        decision,
        verdict=Call.HOLD,
        gate="breaker",
        reason=f"handler {facts.name} is paused: {facts.paused_why}",
        would_change="one task tries again after the pause, the others follow when it works",
        next_look=next_look,
        since=facts.paused_since or decision.since,
        on_page=True,
    )


def queued(decision: Decision, ahead: int, limit: int, next_look: float) -> Decision:
    """The decision for a task that may go but finds all ``limit`` places taken; ``ahead`` are before it."""
    return replace(
        decision,
        verdict=Call.HOLD,
        gate=QUEUED,
        reason=f"{_places(limit)} taken; {_ahead(ahead)} ahead",
        would_change="a running task ends",
        next_look=next_look,
    )


def _places(limit: int) -> str:
    return "the only place is" if limit == 1 else f"all {limit} places are"


def _ahead(tasks: int) -> str:
    return {0: "no task is", 1: "1 task is"}.get(tasks, f"{tasks} tasks are")


def unwritten(decision: Decision, error: str, next_look: float) -> Decision:
    """The decision for a task that may go but whose claim could not be written; ``error`` says why."""
    return replace(
        decision,
        verdict=Call.HOLD,
        gate="claim",
        reason=f"the claim could not be written: {error}",
        would_change="the board takes it at a later look",
        next_look=next_look,
    )


def unreadable(decision: Decision, error: str, hint: str, at: float, next_look: float) -> Decision:
    """The decision for a task that can't move because the board's schema does not fit any more."""
    return replace(
        decision,
        verdict=Call.HOLD,
        gate="schema",
        reason=one_line(error, 400),
        would_change=hint or "see `handoffd doctor`",
        since=decision.since if decision.gate == "schema" else at,
        at=at,
        next_look=next_look,
        on_page=True,
    )
