"""Deaths of the daemon over a stretch of work: which count, when it is over, and who is not to blame."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.engine.deaths import Deaths, Poisonous
from daemon.store import Store, open_engine


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(open_engine(f"sqlite:///{tmp_path / 'state.db'}"), time.time, "store1")
    yield made
    made.close()


def deaths(store: Store, limit: int = 3) -> Deaths:
    """As a new process has it."""
    return Deaths(store, lambda: limit, lambda: None)


def die(store: Store, stretch: str) -> None:
    """Begin, and never come to an end."""
    store.stretch_began(stretch, stretch, store.deaths(stretch, stretch))


def test_the_third_death_in_a_row_is_the_last(store: Store) -> None:
    for _ in range(3):
        die(store, "a")
    with pytest.raises(Poisonous, match="died 3 times"), deaths(store).counted("a", "a"):
        raise AssertionError("it must not begin")
    with deaths(store).counted("b", "b"):
        pass


def test_a_finished_step_between_starts_the_count_anew(store: Store) -> None:
    for n in range(9):
        die(store, "a")
        store.step_began("a", f"step {n}")
        store.step_ended("a", f"step {n}")
    assert store.deaths("a", "a") == 0
    die(store, "a")
    die(store, "a")
    with deaths(store).counted("a", "a"):
        assert store.deaths("a", "a") == 3, "the two since the last step, and this stretch until it ends"
    assert store.deaths("a", "a") == 0


def test_an_end_an_error_and_a_stop_in_good_order_are_no_deaths(store: Store) -> None:
    with deaths(store).counted("a", "a"):
        pass
    with pytest.raises(ValueError, match="raised"), deaths(store).counted("a", "a"):
        raise ValueError("raised")
    stopping = deaths(store)
    with stopping.counted("a", "a"):
        stopping.let_go()
        assert store.deaths("a", "a") == 0


def test_the_last_chance_is_taken_alone_and_who_waits_is_not_marked(store: Store) -> None:
    for _ in range(2):
        die(store, "culprit")
        die(store, "beside it")
    ours, inside = deaths(store), threading.Event()

    def work() -> None:
        with ours.counted("beside it", "beside it"):
            inside.set()

    with ours.counted("culprit", "culprit"):
        other = threading.Thread(target=work)
        other.start()
        assert not inside.wait(0.5)
        assert store.deaths("beside it", "beside it") == 2, "not marked again while it waits"
    assert inside.wait(30.0)
    other.join()


def test_the_last_chance_is_not_taken_beside_a_culprit_that_finished_a_step(store: Store) -> None:
    """The culprit counts no death yet, for it finished a step; it has been cut off all the same."""
    die(store, "culprit")
    store.step_began("culprit", "one")
    store.step_ended("culprit", "one")
    die(store, "beside it")
    ours, inside = deaths(store, limit=2), threading.Event()

    def work() -> None:
        with ours.counted("culprit", "culprit"):
            inside.set()

    with ours.counted("beside it", "beside it"):
        other = threading.Thread(target=work)
        other.start()
        assert not inside.wait(0.5)
    assert inside.wait(30.0)
    other.join()


def test_what_was_cut_off_once_goes_on_together(store: Store) -> None:
    """A machine that lost its power does not work off its tasks one by one."""
    die(store, "a")
    die(store, "b")
    ours = deaths(store)
    with ours.counted("a", "a"), ours.counted("b", "b"):
        assert store.deaths("a", "a") == 2
