"""A whole simulation: board, hosts, watch, and the account of who waited for what."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from daemon.core.backoff import Backoff
from daemon.core.gates import Call
from daemon.core.snapshot import Snapshot
from daemon.core.status import OURS, Status
from daemon.core.task import Draft, Task
from daemon.engine.registry import Registry
from daemon.reconcile import Policy
from daemon.settings.model import ScheduleSettings
from daemon.simulate.agenda import Agenda
from daemon.simulate.behaviour import Model, ModelRegistry, Plan
from daemon.simulate.board import SimulatedBoard, Weather
from daemon.simulate.host import Host, default_policy
from daemon.simulate.invariants import Watch
from daemon.simulate.memory_store import MemoryStore
from daemon.store import Store

DAY = 86_400.0
START = 1_767_571_200.0
"""Monday 2026-01-05 00:00 UTC, unless another start is given."""


@dataclass(slots=True)
class Wait:
    """How long one task was Ready before it was (last) claimed, and what held it: gate → seconds."""

    task: str
    title: str
    ready_since: float | None = None
    seconds: float = 0.0
    gates: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    reasons: dict[str, str] = field(default_factory=dict)
    """Gate → the last thing it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a simulation consists of. ``hosts`` with the same ``stores`` entry share one store."""

    seed: int = 1
    start: float = START
    hosts: tuple[Policy, ...] = field(default_factory=lambda: (default_policy(),))
    stores: tuple[str, ...] = ("store1",)
    """Store id of each host."""
    backoff: Backoff = field(default_factory=Backoff)
    jitter: float = 5.0
    handlers: Registry | tuple[str, ...] = ("work",)
    schedules: Mapping[str, ScheduleSettings] = field(default_factory=dict)
    weather: Weather = field(default_factory=Weather)
    weights: Mapping[str, float] | None = None
    median_s: float = 60.0


class World:
    """Runs a simulation. ``make_store``: another Store than the one in memory, for the contract's test."""

    def __init__(self, setup: Setup, make_store: Any = MemoryStore) -> None:
        self.setup = setup
        self.agenda = Agenda(setup.start)
        self.rng = random.Random(setup.seed)  # noqa: S311 - it must repeat itself
        self.board = SimulatedBoard(self.agenda, self.rng, setup.weather)
        self.model = Model(seed=setup.seed, median_s=setup.median_s)
        if setup.weights is not None:
            self.model.weights = setup.weights
        self.watch = Watch(setup.seed, self.agenda, self.board, setup.backoff.attempts)
        self.board.watch = self._changed
        self.events = 0
        self.waits: dict[str, Wait] = {}
        self.ends: Counter[str] = Counter()
        """Status that our daemons gave → how often."""
        self.claims: list[tuple[float, str]] = []
        """(true time, task) of every claim that a page took."""
        self._seen: dict[str, float] = {}
        stores: dict[str, Store] = {}
        for name in setup.stores:
            stores.setdefault(name, make_store(self.agenda.clock, name))
        self.hosts = [self._host(p, stores[s]) for p, s in zip(setup.hosts, setup.stores, strict=True)]

    def _host(self, policy: Policy, store: Store) -> Host:
        return Host(
            agenda=self.agenda,
            board=self.board,
            store=store,
            rng=self.rng,
            policy=policy,
            backoff=self.setup.backoff,
            jitter=self.setup.jitter,
            handlers=lambda engine: ModelRegistry(
                self.setup.handlers, self.model, engine.takes, self.agenda.clock
            ),
            schedules=self.setup.schedules,
            after_tick=self._ticked,
        )

    # ── time ──────────────────────────────────────────────────────────────────────────────────────

    def boot(self, host: int = 0) -> None:
        """Start a host's daemon."""
        self.agenda.after(0.0, self.hosts[host].boot)

    def run(self, seconds: float) -> None:
        """Let so much time pass. Raises InvariantBroken."""
        end = self.agenda.now + seconds
        with repeatable(self.setup.seed + self.events):
            while self.agenda.step(end):
                self.events += 1
                if self.watch.broken is not None:
                    raise self.watch.broken
        for wait in self.waits.values():
            if wait.ready_since is not None:
                wait.seconds += end - wait.ready_since
                wait.ready_since = end

    def until(self, done: Any, within: float) -> float:
        """Let time pass until ``done()``; seconds that it took. Raises AssertionError when it never was."""
        began, end = self.agenda.now, self.agenda.now + within
        with repeatable(self.setup.seed + self.events):
            while not done():
                if not self.agenda.step(end):
                    raise AssertionError("\n".join(["it did not happen in time", *self.watch.trail]))
                self.events += 1
                if self.watch.broken is not None:
                    raise self.watch.broken
        return self.agenda.now - began

    def step_clock(self, seconds: float) -> None:
        """The machine's clock jumps."""
        self.agenda.offset += seconds
        self.watch.say(f"the clock jumps by {seconds:+.0f} s")
        for host in self.hosts:
            host.clock_was_stepped()

    # ── people ────────────────────────────────────────────────────────────────────────────────────

    def add(self, title: str, plan: Plan | None = None, **fields: Any) -> str:
        """A person makes a task; with ``plan`` every attempt goes so."""
        draft = Draft(title=title, **{"handler": "work", **fields})
        task = self.board.create(draft)
        if plan is not None:
            self.model.forced[task.id] = plan
        return task.id

    def edit(self, task: str, **fields: Any) -> None:
        """A person edits the page."""
        page = self.board.pages.get(task)
        if page is not None:
            self.board.add(replace(page, **fields))

    def status(self, task: str) -> Status | None:
        """What the page says now."""
        return self.board.pages[task].status

    def settled(self, tasks: Iterable[str]) -> bool:
        """None of the tasks is Ready or under way any more."""
        return all(self.status(t) not in (Status.READY, *OURS) for t in tasks)

    # ── accounts ──────────────────────────────────────────────────────────────────────────────────

    def _changed(self, who: str, before: Task | None, after: Task) -> None:
        self.watch.change(who, before, after)
        if before is not None and before.status is after.status:
            return
        now = self.agenda.now
        wait = self.waits.setdefault(after.id, Wait(after.id, after.title))
        if wait.ready_since is not None:
            wait.seconds += now - wait.ready_since
            wait.ready_since = None
        if after.status is Status.READY:
            wait.ready_since = now
        elif after.status is Status.IN_PROGRESS and before is not None:
            self.claims.append((now, after.id))
        if who != "person" and after.status not in (Status.READY, *OURS):
            self.ends[after.status_name] += 1

    def _ticked(self, host: Host, snapshot: Snapshot) -> None:
        self.watch.tick(host, snapshot)
        passed = self.agenda.now - self._seen.get(host.name, self.agenda.now)
        self._seen[host.name] = self.agenda.now
        for decision in snapshot.decisions.values():
            wait = self.waits.get(decision.task_id)
            if wait is None or decision.verdict is Call.DISPATCH:
                continue
            gate = "board" if snapshot.board_error else decision.gate
            wait.gates[gate] += passed
            wait.reasons[gate] = snapshot.board_error or decision.reason


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """The daemon draws its back-off from the process's generator: here that one is seeded, and given back."""
    kept = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(kept)
