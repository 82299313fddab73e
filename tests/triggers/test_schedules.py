"""A schedule's slots become tasks once, whatever happens in between."""

from pathlib import Path

import pytest

from daemon.core.errors import Unreachable
from daemon.core.status import Status
from daemon.settings.model import ScheduleSettings, TaskTemplate
from daemon.store import Store, open_engine
from daemon.testing import MemoryBoard, QuietLog
from daemon.triggers.schedules import Schedules

HOUR = 3600.0


class World:
    def __init__(self, tmp: Path, **more) -> None:
        self.now = 1_780_000_000.0 - 1_780_000_000.0 % HOUR + 60
        self.board = MemoryBoard(lambda: self.now)
        self.engine = open_engine(f"sqlite:///{tmp / 's.db'}")
        self.store = Store(self.engine, lambda: self.now, "s")
        self.settings = {
            "hourly": ScheduleSettings(
                cron="0 * * * *", timezone="UTC", task=TaskTemplate(title="Digest", handler="report"), **more
            )
        }
        self.schedules = self.fresh()

    def fresh(self) -> Schedules:
        return Schedules(
            store=self.store,
            board=self.board,
            settings=lambda: self.settings,
            clock=lambda: self.now,
            log=QuietLog(),
        )

    def titles(self) -> list[str]:
        return [t.source_key for t in self.board.pages.values()]


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.engine.dispose()


def finish(world: World) -> None:
    for task in list(world.board.pages):
        world.board.set_status(task, Status.COMPLETED)


def test_the_first_look_arms_and_each_slot_is_one_task(world: World) -> None:
    assert world.schedules.look() == 0
    world.now += HOUR
    assert world.schedules.look() == 1
    assert world.schedules.look() == 0
    finish(world)
    world.now += HOUR
    assert world.schedules.look() == 1
    assert len(set(world.titles())) == 2


def test_an_open_task_of_the_slot_before_skips_this_one(world: World) -> None:
    world.schedules.look()
    world.now += HOUR
    world.schedules.look()
    world.now += HOUR
    assert world.schedules.look() == 0
    newest = world.store.occurrences("hourly")[0]
    assert newest.state == "skipped" and "still Ready" in newest.reason


def test_after_a_long_sleep_one_is_caught_up_and_the_rest_is_told(world: World) -> None:
    world.schedules.look()
    world.now += 6 * HOUR + 600
    assert world.schedules.look() == 1
    states = [o.state for o in world.store.occurrences("hourly")]
    assert states == ["late"] + ["skipped"] * 5 + ["armed"]


def test_a_crash_between_claim_and_creation_loses_and_doubles_nothing(world: World) -> None:
    world.schedules.look()
    world.now += HOUR

    def fail(purpose: str) -> None:
        if purpose == "create":
            raise Unreachable("down")

    world.board.fail = fail
    assert world.schedules.look() == 0
    assert world.store.occurrences("hourly")[0].state == "claimed"
    world.board.fail = lambda purpose: None
    assert world.fresh().look() == 1
    assert world.fresh().look() == 0
    assert len(world.titles()) == 1


def test_shown_has_next_and_last(world: World) -> None:
    world.schedules.look()
    world.now += HOUR
    world.schedules.look()
    (shown,) = world.schedules.shown()
    assert shown["name"] == "hourly" and len(shown["next"]) == 3 and shown["last"][0]["state"] == "ran"


def test_a_clock_that_was_far_ahead_stops_no_schedule(world: World) -> None:
    """Its newest slot lay in the future then: nothing would have come before that."""
    world.schedules.look()
    right, world.now = world.now, world.now + 3650 * 24 * HOUR
    world.schedules.look()
    finish(world)
    world.now = right
    assert world.schedules.look() == 0
    world.now += HOUR
    assert world.schedules.look() == 1
    assert world.schedules.look() == 0


def test_slots_that_come_again_with_the_clock_are_filled_once(world: World) -> None:
    world.schedules.look()
    for step in (HOUR, HOUR, -HOUR, 0.0, HOUR):
        world.now += step
        world.schedules.look()
        finish(world)
    assert len(world.titles()) == len(set(world.titles())) == 2
