"""Random walks with invariants: 100,000 steps, repeatable, the same on both stores; and what they find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.core.backoff import Backoff
from daemon.core.gates import Decision
from daemon.core.order import key
from daemon.simulate.invariants import TRAIL, InvariantBroken
from daemon.simulate.walk import walk
from daemon.store import Store, open_engine
from daemon.testing import MemoryBoard

WALKS, STEPS = 25, 4_000
"""25 × 4,000 = 100,000 steps, and the calm hours after each."""


@pytest.mark.parametrize("seed", range(WALKS))
def test_walk_holds(seed: int) -> None:
    world = walk(seed, STEPS)
    assert world.events >= STEPS
    assert world.watch.checks["only Ready is dispatched"] > 50
    assert sum(world.ends.values()) > 5


def test_a_walk_is_the_same_for_the_same_seed() -> None:
    one, two, other = walk(7, 1500), walk(7, 1500), walk(8, 1500)
    assert one.board.pages == two.board.pages
    assert list(one.watch.trail) == list(two.watch.trail)
    assert one.board.pages != other.board.pages


@pytest.mark.parametrize("seed", [3])
def test_a_walk_is_the_same_on_sqlite(seed: int, tmp_path: Path) -> None:
    """The store in memory keeps the promises of the real one, decision by decision."""
    made: list[Store] = []

    def on_disk(clock: Callable[[], float], store_id: str) -> Store:
        made.append(Store(open_engine(f"sqlite:///{tmp_path / store_id}.db"), clock, store_id))
        return made[-1]

    try:
        real, memory = walk(seed, 500, make_store=on_disk), walk(seed, 500)
        assert real.board.pages == memory.board.pages
        assert real.events == memory.events
        one, two = real.hosts[0].store, memory.hosts[0].store
        assert one.runs(limit=10_000) == two.runs(limit=10_000)
        assert one.decisions() == two.decisions()
        assert one.counts() == two.counts()
    finally:
        for store in made:
            store.close()


def _found(seeds: int = 12, steps: int = 2_000) -> str:
    for seed in range(seeds):
        try:
            walk(seed, steps)
        except InvariantBroken as error:
            assert f"(seed {seed})" in error.message
            assert 1 <= len(error.problems) <= TRAIL
            return error.message
    return "nothing was found"


def test_walks_find_a_wrong_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "daemon.tick.order", SimpleNamespace(key=lambda task, *aged: tuple(map(_less, key(task))))
    )
    assert _found().startswith("the order is respected")


def _less(part: object) -> object:
    return -part if isinstance(part, int) else part


def test_walks_find_attempts_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "delay", lambda self, attempt, rng, named, fault: 10.0)
    assert _found().startswith("attempts stay below the cap")


def test_walks_find_a_status_that_is_turned_back(monkeypatch: pytest.MonkeyPatch) -> None:
    real = MemoryBoard.write

    def careless(self: MemoryBoard, task_id: str, held: object, change: object) -> object:
        page = real(self, task_id, held, change)  # type: ignore[arg-type]  # as it came
        return self._put(_with_status(page, change))  # type: ignore[arg-type]  # a Task

    def _with_status(page: object, change: object) -> object:
        from dataclasses import replace

        status = change.status or page.status  # type: ignore[attr-defined]  # a PageWrite and a Task
        return replace(page, status=status)  # type: ignore[type-var]  # a Task

    monkeypatch.setattr(MemoryBoard, "write", careless)
    assert _found().startswith("a final status stands")


def test_walks_find_a_decision_without_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from daemon.core.gates import decide

    def silent(*args: object) -> Decision:
        return replace(decide(*args), reason="")  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr("daemon.tick.decide", silent)
    assert _found().startswith("every Ready task has a reason")


def test_walks_find_claims_that_are_never_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.recovery.Recovery.repair_claim", lambda self, run: None)
    assert "without an owner" in (found := _found()) or "all comes to an end" in found
