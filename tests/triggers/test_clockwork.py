"""The clock: at once at the start, many calls are one tick, a failing job goes on, one tick at a time; what
becomes of it when the machine's clock is put is in tests/faults/test_clock.py."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from daemon.testing import QuietLog
from daemon.triggers.clockwork import Clockwork, Every


@pytest.fixture
def made():
    clocks = []

    def make(
        tick: Callable[[], object], interval: float = 60.0, fill: Callable[[], object] | None = None
    ) -> tuple[Clockwork, QuietLog]:
        log = QuietLog()
        clock = Clockwork(tick=tick, fill=fill or tick, interval=lambda: interval, jitter=0.0, log=log)
        clocks.append(clock)
        clock.start()
        return clock, log

    yield make
    for clock in clocks:
        clock.stop()
        clock.end()


def until(done: Callable[[], bool], within: float = 5.0) -> None:
    end = time.monotonic() + within
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_first_tick_comes_at_once_and_then_by_interval(made) -> None:
    ticks: list[float] = []
    made(lambda: ticks.append(time.monotonic()), 0.2)
    until(lambda: len(ticks) >= 4)
    assert 0.4 < ticks[3] - ticks[0] < 2.0


def test_calls_while_it_ticks_become_one_more_tick(made) -> None:
    go, ticks, at_once = threading.Event(), [], []
    busy = threading.Lock()

    def tick() -> None:
        at_once.append(busy.acquire(blocking=False))
        ticks.append(1)
        go.wait(5)
        busy.release()

    clock, _ = made(tick)
    until(lambda: len(ticks) == 1)
    for _ in range(50):
        clock.look_now()
    go.set()
    until(lambda: len(ticks) == 2)
    time.sleep(0.3)
    assert len(ticks) == 2 and all(at_once)


def test_a_tick_that_raises_is_told_and_the_next_one_comes(made) -> None:
    ticks = []

    def tick() -> None:
        ticks.append(1)
        raise ZeroDivisionError("oops")

    clock, log = made(tick, 0.1)
    until(lambda: len(ticks) >= 3)
    assert ("error", "tick.failed") in [line[:2] for line in log.lines]
    clock.stop()
    clock.look_now()


def test_what_is_alone_goes_on_while_the_daemon_drains(made) -> None:
    beats, others = [], []
    clock, _ = made(lambda: None)
    clock.every(0.05, "beat", lambda: beats.append(1), alone=True)
    clock.every(0.05, "other", lambda: others.append(1))
    until(lambda: bool(beats and others))
    clock.stop()
    until(lambda: clock._scheduler._executors["default"]._instances["other"] == 0)
    had, seen = len(others), len(beats)
    until(lambda: len(beats) >= seen + 4)
    assert len(others) == had
    clock.end()
    assert not clock._scheduler.running


def test_a_job_that_is_still_at_it_skips_its_turn_without_a_word(made, caplog) -> None:
    go, turns, ticks = threading.Event(), [], []
    clock, _ = made(lambda: ticks.append(1), 0.05)

    def slow() -> None:
        turns.append(1)
        go.wait(5)

    clock.every(0.05, "slow", slow)
    until(lambda: bool(turns))
    seen = len(ticks)
    until(lambda: len(ticks) >= seen + 6)
    assert len(turns) == 1
    go.set()
    assert not [r for r in caplog.records if r.name.startswith("apscheduler") and "skipped" in r.message]


def test_what_was_missed_is_one_call_however_long_it_was() -> None:
    """APScheduler's own interval lists each missed time: a 2 s job after 400 days, 17 million of them."""
    rule, began = Every(2.0, 1.0), datetime(2026, 1, 1, tzinfo=UTC)
    now = began + timedelta(days=400)
    found = rule.get_next_fire_time(began, now)
    assert timedelta(seconds=2) <= found - now <= timedelta(seconds=3)
    assert rule.get_next_fire_time(now, now + timedelta(seconds=1)) > now + timedelta(seconds=1)
    assert rule.get_next_fire_time(None, now) >= now + timedelta(seconds=2)


def test_the_first_call_of_a_rare_job_can_be_soon(made) -> None:
    calls: list[float] = []
    clock, _ = made(lambda: None)
    clock.every(86_400.0, "rare", lambda: calls.append(time.monotonic()), first=0.1)
    until(lambda: calls)


def test_a_place_is_filled_unless_a_look_was_asked_for_too(made) -> None:
    said: list[str] = []
    go = threading.Event()

    def look() -> None:
        said.append("look")
        go.wait(5)

    clock, _ = made(look, fill=lambda: said.append("fill"))
    until(lambda: said == ["look"])
    clock.fill_now()
    clock.look_now()  # both while one is at it: one more, and a look
    clock.fill_now()
    go.set()
    until(lambda: said == ["look", "look"])
    until(lambda: not clock._busy)
    clock.fill_now()
    until(lambda: said == ["look", "look", "fill"])


def test_what_is_asked_for_while_one_is_at_it_is_never_lost(made) -> None:
    """APScheduler drops a turn that comes while the last is not cleared away yet: a place that became free
    during a tick stayed free until the next poll."""
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) < 5:
            clock.look_now()

    ready = threading.Event()
    clock, _ = made(lambda: ready.wait(5) and tick())
    pool = clock._scheduler._executors["default"]
    clear = pool._run_job_success

    def slowly(*job: object) -> None:
        time.sleep(0.05)
        clear(*job)

    pool._run_job_success = slowly
    ready.set()
    until(lambda: len(ticks) == 5)
    until(lambda: not clock._busy)
    clock.look_now()
    until(lambda: len(ticks) == 6)
