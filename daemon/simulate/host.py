"""One daemon in virtual time: its parts are made anew at every boot, its store and journal outlive it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.core.backoff import Backoff
from daemon.core.gates import Decision
from daemon.core.ports import Bundle, Rendered
from daemon.core.snapshot import Snapshot
from daemon.engine.context import Means
from daemon.parts import RETENTION_S, SCHEDULES_S
from daemon.reconcile import Policy
from daemon.settings.model import ScheduleSettings
from daemon.simulate.agenda import Agenda
from daemon.simulate.behaviour import ModelRegistry
from daemon.simulate.board import PERSON, SimulatedBoard
from daemon.simulate.engine import Killed, VirtualEngine, VirtualRunner
from daemon.store import Store
from daemon.tick import Tick
from daemon.triggers.arrivals import Arrivals
from daemon.triggers.schedules import Schedules
from daemon.triggers.slots import trigger, upcoming
from daemon.upheld import UpheldBoard

RETENTION_DAYS = 90.0
TICK_S_PER_TASK = 5e-5
"""What a tick takes for each Ready task (measured on 10,000): ends that come meanwhile become one look."""

NOWHERE = Path("/nonexistent")
"""Runs of the simulation write no file."""


class QuietLog:
    """Drops everything: what matters is in the store's events and on the board."""

    def debug(self, event: str, **fields: Any) -> None:
        """Dropped."""

    info = warning = error = debug


class NoFiles:
    """Reports that are not written: the page gets a line, the disk nothing."""

    def render(self, bundle: Bundle) -> Rendered:
        """The section and link of a report that is not there."""
        place = NOWHERE / bundle.run
        return Rendered(
            folder=place,
            markdown=place,
            html=place,
            evidence=place,
            section=bundle.summary,
            link="simulated:",
        )


class Host:
    """A daemon. ``after_tick`` is called with each snapshot."""

    def __init__(
        self,
        *,
        agenda: Agenda,
        board: SimulatedBoard,
        store: Store,
        rng: random.Random,
        policy: Policy,
        backoff: Backoff,
        jitter: float,
        handlers: Callable[[VirtualEngine], ModelRegistry],
        schedules: Mapping[str, ScheduleSettings],
        after_tick: Callable[[Host, Snapshot], None],
    ) -> None:
        self.name = policy.host
        self.policy = policy
        self.backoff = backoff
        self.store = store
        self.alive = False
        self.boots = 0
        self.born = agenda.now
        self.ticks = 0
        self._agenda = agenda
        self._board = board
        self._rng = rng
        self._jitter = jitter
        self._schedules_in_force = schedules
        self._after_tick = after_tick
        self._soon = False
        self.engine = VirtualEngine(agenda, rng, guard=self.guard)
        self.registry = handlers(self.engine)
        self.die_at_call: int | None = None
        """The process dies at the so-many-th chance from now: a board call, its effect, or a step's end."""
        self.engine.on_step = self._chance

    # ── life and death ────────────────────────────────────────────────────────────────────────────

    def boot(self) -> None:
        """Start the process: reconcile, resume, look at once."""
        self.alive = True
        self.boots += 1
        self.born = self._agenda.now
        clock, log = self._agenda.clock, QuietLog()
        board: Any = UpheldBoard(
            self._board,
            self.store,
            verify=lambda: self.policy.verify,
            lease=lambda: self.policy.lease,
            clock=clock,
            log=log,
            monotonic=lambda: self._agenda.now,
        )
        means = Means(
            store=self.store,
            board=board,
            home=NOWHERE,
            work=NOWHERE,
            clock=clock,
            monotonic=self.engine.monotonic,
            secret=lambda name: None,
            draining=threading.Event(),
        )
        runner = VirtualRunner(
            self.engine,
            lambda run: self._look_now(),
            means=means,
            registry=self.registry,
            sections=lambda name: None,
            reports=NoFiles(),
            backoff=lambda: self.backoff,
            version="simulated",
            verify=lambda: self.policy.verify,
            log=log,
            bind=lambda **fields: nullcontext(),
        )
        self.engine.runner = runner
        self.tick = Tick(
            board=board,
            store=self.store,
            runs=self.engine,
            handlers=self.registry,
            policy=lambda: self.policy,
            clock=clock,
            log=log,
            nonce=lambda: f"{self._rng.getrandbits(48):012x}",
            monotonic=lambda: self._agenda.now,
        )
        self.arrivals = Arrivals(
            store=self.store,
            engine=self.engine,
            registry=self.registry,
            context=runner.looking,
            mine=lambda host: host == self.name,
            clock=clock,
            log=log,
        )
        self.schedules = Schedules(
            store=self.store,
            board=self._board,
            settings=lambda: self._schedules_in_force,
            clock=clock,
            log=log,
        )
        boot = self.boots
        self.engine.recover()
        self._agenda.after(0.0, lambda: self._beat(boot))
        self._agenda.after(0.0, lambda: self._slots(boot))
        self._agenda.after(RETENTION_S, lambda: self._forget(boot))

    def die(self, down_for: float) -> None:
        """kill -9, and started again after ``down_for`` seconds."""
        if not self.alive:
            return
        self.alive = False
        self.die_at_call = None
        self.engine.died()
        self._agenda.after(down_for, self.boot)

    def guard(self, act: Callable[[], None]) -> None:
        """Do ``act`` as this process; dying in the middle of it is one of the things that may happen."""
        if not self.alive:
            return
        self._board.who, self._board.on_call = self.name, lambda purpose: self._chance()
        try:
            act()
        except Killed:
            self.die(self._rng.uniform(1.0, 60.0))
        finally:
            self._board.who, self._board.on_call = PERSON, lambda purpose: None

    def _chance(self) -> None:
        if self.die_at_call is None:
            return
        self.die_at_call -= 1
        if self.die_at_call <= 0:
            self.die_at_call = None
            raise Killed

    # ── its clockwork ─────────────────────────────────────────────────────────────────────────────

    def _beat(self, boot: int) -> None:
        if boot != self.boots or not self.alive:
            return
        self._once()
        wait = self.policy.interval + self._rng.uniform(0.0, self._jitter)
        self._agenda.after(wait, lambda: self._beat(boot))

    def _once(self, *, fill: bool = False) -> None:
        def both() -> None:
            snapshot = self.tick.fill() if fill else self.tick.run()
            self.arrivals.look()
            self.ticks += 1
            self._after_tick(self, snapshot)

        self.guard(both)

    def _look_now(self) -> None:
        """A run has ended: its place is filled at once if others may have waited, as the service does it."""
        if self._soon or all(d.gate not in ("capacity", "prerequisites") for d in self.held().values()):
            return
        self._soon = True
        boot = self.boots

        def now() -> None:
            self._soon = False
            if boot == self.boots and self.alive:
                self._once(fill=True)

        self._agenda.after(0.05 + TICK_S_PER_TASK * len(self.held()), now)

    def _slots(self, boot: int) -> None:
        """The daemon asks every 10 s; in between nothing can change, so time goes on to the next slot."""
        if boot != self.boots or not self.alive or not self._schedules_in_force:
            return

        def look() -> None:
            self.schedules.look()

        self.guard(look)
        self._agenda.after(self._to_next_slot(), lambda: self._slots(boot))

    def _to_next_slot(self) -> float:
        now = self._agenda.clock()
        wait = 86_400.0
        for name, schedule in self._schedules_in_force.items():
            last = self.store.occurrences(name, limit=1)
            if not last or last[0].state == "claimed":
                return SCHEDULES_S
            from_ = max(now, last[0].slot)
            for slot in upcoming(
                trigger(schedule.cron, schedule.timezone), datetime.fromtimestamp(from_, UTC), 1
            ):
                wait = min(wait, slot.timestamp() - now)
        return max(SCHEDULES_S, -(-wait // SCHEDULES_S) * SCHEDULES_S)

    def clock_was_stepped(self) -> None:
        """The machine's clock jumped: slots may be due earlier than was thought."""
        boot = self.boots
        self._agenda.after(SCHEDULES_S, lambda: self._slots(boot))

    def _forget(self, boot: int) -> None:
        if boot != self.boots or not self.alive:
            return
        self.engine.forget(self.store.prune(self._agenda.clock() - RETENTION_DAYS * 86_400))
        self._agenda.after(RETENTION_S, lambda: self._forget(boot))

    def held(self) -> Mapping[str, Decision]:
        """The last tick's decisions."""
        return self.tick.snapshot.decisions


def default_policy(host: str = "alpha", **fields: Any) -> Policy:
    """The settings' defaults."""
    base: dict[str, Any] = {"host": host, "concurrency": 2, "lease": 900.0, "interval": 30.0}
    return Policy(**{**base, **fields})
