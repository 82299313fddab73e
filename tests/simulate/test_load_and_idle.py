"""Bounded when much is to do, bounded when nothing is: order, calls, rows, retention."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from daemon.core import order
from daemon.core.breaker import Mark
from daemon.core.outcome import Fault
from daemon.core.status import Status
from daemon.core.task import Priority
from daemon.simulate.behaviour import Plan
from daemon.simulate.host import default_policy
from daemon.simulate.scenario import HOUR, build
from daemon.simulate.world import Setup, World
from daemon.store import Store, open_engine
from daemon.store.tables import metadata


@pytest.fixture
def on_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Store]:
    def make(clock: Callable[[], float], store_id: str) -> Store:
        store = Store(open_engine(f"sqlite:///{tmp_path / store_id}.db"), clock, store_id)
        request.addfinalizer(store.close)
        return store

    return make


def rows(store: Store) -> int:
    with store.engine.connect() as c:
        return sum(
            c.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in metadata.sorted_tables
        )


def test_72_idle_hours_cost_one_board_call_a_poll_and_leave_no_event() -> None:
    world = build(1)
    world.run(72 * HOUR)
    host = world.hosts[0]
    assert dict(world.board.calls()) == {"look": host.ticks}
    assert host.ticks <= 72 * HOUR / host.policy.interval + 1
    assert host.store.last_events(10) == []


def test_idle_hours_add_no_row_to_the_database(on_disk: Callable[..., Store]) -> None:
    world = World(Setup(seed=1, weights={"done": 1.0}), on_disk)
    world.boot()
    task = world.add("one task", Plan(seconds=(5.0,)))
    world.run(600.0)
    assert world.status(task) is Status.COMPLETED
    before = rows(world.hosts[0].store)
    world.run(6 * HOUR)
    assert rows(world.hosts[0].store) == before


def test_200_tasks_at_once_are_claimed_in_order_on_the_real_store(on_disk: Callable[..., Store]) -> None:
    """The whole 10,000 are in the scenario ten-thousand-ready and in the benchmark bench_load."""
    world = World(Setup(seed=1, weights={"done": 1.0}, hosts=(default_policy(concurrency=4),)), on_disk)
    ranks = list(Priority)
    for number in range(200):
        world.add(f"task {number}", Plan(seconds=(5.0,)), priority=ranks[number % 4])
    wanted = [t.id for t in sorted(world.board.pages.values(), key=order.key)]
    world.boot()
    world.run(40.0)
    taken = [t for _, t in world.claims]
    assert len(taken) >= 8 and taken == wanted[: len(taken)]


def test_retention_forgets_marks_of_attempts_and_keeps_the_newer_ones(on_disk: Callable[..., Store]) -> None:
    store = on_disk(lambda: 1000.0, "store1")
    for at in (100.0, 900.0):
        mark = Mark(
            run=f"r{at}", handler="h", task="t", fault=Fault.TRANSIENT, reason="x", started=at - 1, ended=at
        )
        store.mark(mark)
        store.mark(mark)
    assert [m.ended for m in store.marks("h")] == [900.0, 100.0]
    store.prune(500.0)
    assert [m.ended for m in store.marks("h")] == [900.0]


def test_all_but_the_newest_attempt_is_forgotten_in_time(on_disk: Callable[..., Store]) -> None:
    """A task that fails and is set Ready again and again: what is older than the retention is gone with its
    events and marks; the newest attempt stays, for it carries the generation."""
    world = World(Setup(seed=1), on_disk)
    world.boot()
    task = world.add("again", Plan(kind="permanent", seconds=(5.0,)))
    for _ in range(4):
        world.run(300.0)
        world.edit(task, status=Status.READY, status_name="Ready")
    world.run(300.0)
    store = world.hosts[0].store
    kept = store.runs(task=task)
    assert len(kept) == 5
    store.prune(world.agenda.clock() + 1.0)
    assert [r.generation for r in store.runs(task=task)] == [kept[0].generation]
    assert store.last_events(10) == [] and store.marks("work") == []
