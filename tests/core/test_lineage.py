"""Chains of follow-ups end: the pure caps, and the store's account of who made whom."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from daemon.core.lineage import Lineage, LineageLimits
from daemon.simulate.memory_store import MemoryStore
from daemon.store import Store, open_engine
from daemon.store.rows import Made

LIMITS = LineageLimits(depth=3, run=5, family=9)


def test_each_cap_has_its_own_words_and_below_them_all_is_well() -> None:
    assert LIMITS.refusal(Lineage(depth=2, of_run=4, family=8)) == ""
    assert "number 3 of its chain" in LIMITS.refusal(Lineage(depth=3, of_run=0, family=0))
    assert "has made 5 tasks" in LIMITS.refusal(Lineage(depth=0, of_run=5, family=5))
    assert "9 tasks have come" in LIMITS.refusal(Lineage(depth=1, of_run=0, family=9))


def name(number: int) -> str:
    return f"{number:032x}"


def made(parent: int, child: int, created: bool = True, generation: int = 1) -> Made:
    return Made(
        key=f"{parent}>{child}",
        run=f"{name(parent)}.g{generation}",
        task=name(child),
        title="x",
        priority="Low",
        handler="h",
        created=created,
        at=float(child),
    )


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore(time.time, "store1")
    opened = Store(open_engine(f"sqlite:///{tmp_path / 'state.db'}"), time.time, "store1")
    request.addfinalizer(opened.close)
    return opened


def test_the_store_counts_depth_attempt_and_family(store: Store) -> None:
    for row in (made(1, 2), made(1, 3), made(2, 4, generation=2), made(4, 5), made(8, 9)):
        store.made(row)
    assert store.lineage(name(1), f"{name(1)}.g1", 3) == Lineage(depth=0, of_run=2, family=4)
    assert store.lineage(name(5), f"{name(5)}.g1", 3) == Lineage(depth=3, of_run=0, family=4)
    assert store.lineage(name(4), f"{name(4)}.g1", 3) == Lineage(depth=2, of_run=1, family=4)
    assert store.lineage(name(7), f"{name(7)}.g1", 3) == Lineage(depth=0, of_run=0, family=0)


def test_a_page_that_was_there_already_is_nobodys_child_and_a_circle_ends(store: Store) -> None:
    store.made(made(1, 2, created=False))
    assert store.lineage(name(2), f"{name(2)}.g1", 3).depth == 0
    store.made(made(11, 12))
    store.made(made(12, 11))
    assert store.lineage(name(11), f"{name(11)}.g1", 9).family == 1


def test_a_long_chain_is_not_followed_to_its_end(store: Store) -> None:
    for number in range(20):
        store.made(made(100 + number, 101 + number))
    assert store.lineage(name(120), "x", 3).depth == 4
