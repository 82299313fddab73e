"""A user's own settings and board, some days ahead: what would wait for what, and how many calls it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from daemon.core.backoff import Backoff
from daemon.core.routing import Rule
from daemon.core.status import OURS, Status
from daemon.core.task import Task
from daemon.engine.registry import Registry
from daemon.reconcile import Policy
from daemon.settings.model import Settings
from daemon.simulate.behaviour import Model
from daemon.simulate.world import DAY, Setup, Wait, World
from daemon.store import Run

ENOUGH = 5
"""Attempts of a handler on record, from which on its own durations are drawn."""

TOP = 10

OUTCOMES: Mapping[str, str] = {
    "done": "done",
    "delivered": "waits",
    "retry": "transient",
    "snooze": "snooze",
    "failed": "permanent",
    "blocked": "blocked",
    "needsreview": "review",
}
"""Outcome on record → kind of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What came out. Times in seconds; ``status`` counts the pages at the end of the span by status."""

    days: float
    seed: int
    steps: int
    tasks: int
    schedule_tasks: int
    status: Mapping[str, int]
    ends: Mapping[str, int]
    calls: int
    calls_per_hour: float
    waits: tuple[Wait, ...]
    """The longest one of each title, longest first, at most ``TOP``."""
    basis: Mapping[str, str]
    """Handler → where its durations come from."""


def forecast(
    settings: Settings,
    registry: Registry,
    *,
    host: str,
    interval: float,
    start: float,
    days: float,
    seed: int,
    tasks: Iterable[Task] = (),
    history: Iterable[Run] = (),
) -> Forecast:
    """Simulate ``days`` from ``start`` (epoch s). ``tasks``: pages of the board as they are now. ``history``:
    ended attempts, from which durations and outcomes are drawn; where there are too few, the model's own."""
    world = World(_setup(settings, registry, host=host, interval=interval, start=start, seed=seed))
    basis = _learn(world.model, list(history), registry)
    for task in tasks:
        # An attempt that is under way belongs to the real daemon: here the task starts anew.
        status = Status.READY if task.status in OURS and task.claim is not None else task.status
        world.board.add(_without_claim(task, status))
    world.boot()
    world.run(days * DAY)
    pages = world.board.pages.values()
    counts: dict[str, int] = {}
    for page in pages:
        counts[page.status_name or "none"] = counts.get(page.status_name or "none", 0) + 1
    calls = sum(world.board.calls().values())
    longest: dict[str, Wait] = {}
    for wait in sorted(world.waits.values(), key=lambda w: (-w.seconds, w.task)):
        longest.setdefault(wait.title, wait)
    return Forecast(
        days=days,
        seed=seed,
        steps=world.events,
        tasks=len(pages),
        schedule_tasks=sum(p.source_key.startswith("schedule:") for p in pages),
        status=dict(sorted(counts.items())),
        ends=dict(sorted(world.ends.items())),
        calls=calls,
        calls_per_hour=calls / (days * 24),
        waits=tuple(longest.values())[:TOP],
        basis=basis,
    )


def _setup(settings: Settings, registry: Registry, *, host: str, **fields: Any) -> Setup:
    run = settings.run
    policy = Policy(
        host=host,
        concurrency=run.concurrency,
        lease=run.lease,
        interval=fields.pop("interval"),
        routes=tuple(
            Rule(handler=r.handler, field=r.field, words=r.words, name=r.name) for r in settings.routes
        ),
        handlers_here=frozenset(settings.host.handlers) or None,
    )
    return Setup(
        hosts=(policy,),
        backoff=Backoff(first=run.backoff, ceiling=run.backoff_max, attempts=run.attempts),
        jitter=settings.poll.jitter,
        handlers=registry,
        schedules=settings.schedules,
        **fields,
    )


def _without_claim(task: Task, status: Status | None) -> Task:
    return replace(task, status=status, claim=None, attempts=0)


def _learn(model: Model, history: list[Run], registry: Registry) -> dict[str, str]:
    """Durations and outcomes of the store's attempts, for the model."""
    basis = {}
    kinds = [OUTCOMES[r.outcome] for r in history if r.outcome in OUTCOMES]
    model.weights = {"done": 1.0}
    if len(kinds) >= ENOUGH:
        model.weights = {k: float(kinds.count(k)) for k in sorted(set(kinds))}
    for name in registry.names():
        took = tuple(r.ended - r.started for r in history if r.handler == name and r.ended is not None)
        if len(took) >= ENOUGH:
            model.measured[name] = took
            basis[name] = f"{len(took)} recorded attempts"
        else:
            basis[name] = f"assumed: median {model.median_s:.0f} s, {len(took)} recorded attempts are too few"
    return basis


def because(wait: Wait, span: Callable[[float], str]) -> str:
    """``waits 3 h because …``: the gates that held the task longest, in words. ``span`` writes seconds."""
    longest = sorted(wait.gates.items(), key=lambda item: -item[1])[:3]
    held = [f"{wait.reasons[g]} ({g}, {span(s)})" for g, s in longest if s > 0]
    return "; ".join(held) or "the board is looked at every so often"
