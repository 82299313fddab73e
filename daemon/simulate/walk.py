"""Random walks: people, faults, crashes and clocks, drawn from a seed, while the invariants are watched."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from daemon.core.backoff import Backoff
from daemon.core.status import RunState, Status
from daemon.core.task import Priority
from daemon.simulate.board import Weather
from daemon.simulate.host import default_policy
from daemon.simulate.memory_store import MemoryStore
from daemon.simulate.world import Setup, World

MOST_OPEN = 40
"""Tasks on the board at which the people of a walk stop adding more."""

SETTLED_S = 12 * 3600.0
LASTING = ("prerequisites", "handler", "backoff")
"""Gates that may still hold a task when all is calm: circles, and a source that says "later" for ever."""


def setup_for(seed: int) -> Setup:
    """The surroundings that a seed stands for: weather, hosts, places, attempts."""
    rng = random.Random(f"setup {seed}")  # noqa: S311 - it must repeat itself
    shared = rng.random() < 0.3
    names = ("alpha", "beta") if shared else ("alpha",)
    places = rng.choice((1, 2, 4))
    return Setup(
        seed=seed,
        hosts=tuple(default_policy(n, concurrency=places) for n in names),
        stores=("store1",) * len(names),
        backoff=Backoff(attempts=rng.choice((1, 3, 5))),
        handlers=("work", "other"),
        weather=Weather(
            refused=rng.choice((0.0, 0.02)),
            lost=rng.choice((0.0, 0.02)),
            late=rng.choice((0.0, 0.02)),
            stale=rng.choice((0.0, 0.2)),
        ),
        median_s=rng.choice((20.0, 120.0)),
    )


class Walk:
    """One walk. ``make_store``: see ``World``."""

    def __init__(self, seed: int, make_store: Any = MemoryStore) -> None:
        self.world = World(setup_for(seed), make_store)
        self._rng = random.Random(f"walk {seed}")  # noqa: S311 - it must repeat itself
        self._home = False
        self._pace = self._rng.choice((20.0, 90.0, 600.0))
        for host in range(len(self.world.hosts)):
            self.world.boot(host)
        self.world.agenda.after(1.0, self._act)

    def run(self, steps: int) -> None:
        """Go on until so many events have happened. Raises InvariantBroken."""
        while self.world.events < steps:
            self.world.run(600.0)

    def settle(self) -> None:
        """The people go home, the weather clears: within twelve hours nothing is under way but what waits
        for an agent, and what is Ready says what holds it."""
        world = self.world
        self._home = True
        world.board.weather = Weather()
        world.run(SETTLED_S)
        for host in world.hosts:
            for run in host.store.active_runs():
                waits = run.state is RunState.WAITING
                world.watch.must("all comes to an end", waits, f"{run.run} is still {run.state.value}")
            for decision in host.held().values():
                held = decision.gate in LASTING
                world.watch.must("all comes to an end", held, f"{decision.task_id}: {decision.why_line()}")

    def _act(self) -> None:
        if self._home:
            return
        acts: list[tuple[float, Callable[[], None]]] = [
            (40, self._add),
            (8, lambda: self._set(Status.CANCELLED)),
            (8, lambda: self._set(Status.READY)),
            (3, lambda: self._set(Status.COMPLETED)),
            (2, lambda: self._set(Status.IN_PROGRESS)),
            (2, lambda: self._set(Status.DRAFT)),
            (4, self._retitle),
            (2, self._unclaim),
            (2, self._trash),
            (3, self._kill),
            (6, self._kill_at_a_boundary),
            (1, lambda: self.world.board.outage(self._rng.choice((10.0, 120.0, 3600.0)))),
            (0.5, lambda: self.world.step_clock(self._rng.choice((-3600.0, 3600.0)))),
        ]
        self._rng.choices([a for _, a in acts], [w for w, _ in acts])[0]()
        self.world.agenda.after(self._rng.expovariate(1 / self._pace), self._act)

    def _page(self) -> str | None:
        pages = self.world.board.pages
        return self._rng.choice(list(pages)[-100:]) if pages else None

    def _add(self) -> None:
        rng, world = self._rng, self.world
        if len(world.board.open_pages) >= MOST_OPEN:
            return
        due = world.board._now() + timedelta(hours=rng.uniform(-5, 50)) if rng.random() < 0.2 else None
        before = self._page() if rng.random() < 0.15 else None
        task = world.add(
            f"task {len(world.board.pages)}",
            handler=rng.choices(("work", "other", "", "nobody"), (70, 25, 2, 3))[0],
            priority=rng.choice(list(Priority)),
            due=due,
            after=(before,) if before else (),
            parameters="surprise = 1" if rng.random() < 0.02 else "",
        )
        if rng.random() < 0.1 and before:
            world.edit(before, after=(task,))  # a circle, sometimes

    def _set(self, status: Status) -> None:
        page = self._page()
        if page is not None:
            self.world.board.set_status(page, status)

    def _retitle(self) -> None:
        page = self._page()
        if page is not None:
            self.world.edit(page, title=f"renamed {self._rng.random():.3f}")

    def _unclaim(self) -> None:
        """A person empties the Claim property."""
        page = self._page()
        if page is not None:
            self.world.edit(page, claim=None)

    def _trash(self) -> None:
        page = self._page()
        if page is not None:
            self.world.watch.say(f"person: {page[-6:]} trashed")
            self.world.board.remove(page)

    def _kill(self) -> None:
        host = self._rng.choice(self.world.hosts)
        self.world.watch.say(f"kill -9 {host.name}")
        host.die(self._rng.choice((1.0, 30.0, 1200.0)))

    def _kill_at_a_boundary(self) -> None:
        host = self._rng.choice(self.world.hosts)
        if host.alive:
            host.die_at_call = self._rng.randint(1, 12)


def walk(seed: int, steps: int, **fields: Any) -> World:
    """One random walk of ``steps`` events, and twelve calm hours. Raises InvariantBroken with the seed
    and the last 20 events."""
    made = Walk(seed, **fields)
    made.run(steps)
    made.settle()
    return made.world
