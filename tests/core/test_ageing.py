"""Order with ageing: as strict as the contract says while nobody waits long, and nobody waits for ever."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from daemon.core import order
from daemon.core.gates import Call, HandlerFacts, Known, decide, queued, waited
from daemon.core.routing import Route
from daemon.core.task import Priority, Task
from daemon.testing import sample_task

STEP = 3600.0
RANKS = st.sampled_from(list(Priority))
DUES = st.none() | st.integers(0, 100).map(lambda d: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=d))


def task(rank: Priority, due: datetime | None = None, number: int = 0) -> Task:
    return sample_task(priority=rank, due=due, number=number, id=f"{number:032x}")


@given(RANKS, RANKS, DUES, DUES, st.floats(0, STEP - 1), st.floats(0, STEP - 1))
def test_below_one_step_the_order_is_priority_due_age_to_the_letter(
    a: Priority, b: Priority, due_a: datetime | None, due_b: datetime | None, wait_a: float, wait_b: float
) -> None:
    one, two = task(a, due_a, 1), task(b, due_b, 2)
    aged = order.key(one, wait_a, STEP) < order.key(two, wait_b, STEP)
    assert aged == (order.key(one) < order.key(two))


@given(RANKS, RANKS, DUES, st.floats(0, 1e6), st.floats(0, 1e6))
def test_nothing_overtakes_a_task_once_its_window_has_passed(
    old: Priority, new: Priority, due: datetime | None, later: float, after_that: float
) -> None:
    """The documented bound: whatever the newcomer's due date, and for ever after."""
    came = order.overtaking_window(old, new, STEP) + later
    waits = order.key(task(old, None, 1), came + after_that, STEP)
    assert waits < order.key(task(new, due, 2), after_that, STEP)


def test_the_window_is_the_smallest_such_bound() -> None:
    within = order.overtaking_window(Priority.LOW, Priority.CRITICAL, STEP) - STEP - 1
    assert order.key(task(Priority.CRITICAL), 0.0, STEP) < order.key(task(Priority.LOW), within, STEP)


@given(RANKS, st.floats(0, 1e7), st.floats(0, 1e7))
def test_waiting_never_puts_a_task_back(rank: Priority, a: float, b: float) -> None:
    assert order.level(rank, max(a, b), STEP) <= order.level(rank, min(a, b), STEP)


def test_zero_switches_it_off_and_a_clock_that_jumped_back_lifts_nobody() -> None:
    assert order.level(Priority.LOW, 1e9, 0.0) == 3
    assert order.level(Priority.LOW, -1e9, STEP) == 3


def test_the_wait_counts_from_when_a_place_was_all_that_was_missing() -> None:
    route, low = Route(handler="h", because="test"), task(Priority.LOW)

    def known(now: float, **more: object) -> Known:
        facts = {"h": HandlerFacts(name="h")}
        return Known(now=now, next_tick=now + 30, handlers=facts, **more)  # type: ignore[arg-type]  # Known's own

    first = queued(decide(low, route, known(100.0), {}), 3, 2, 130.0)
    since = {low.id: (first.gate, first.since)}
    second = queued(decide(low, route, known(500.0), since), 3, 2, 530.0)
    assert (second.verdict, second.gate, second.since) == (Call.HOLD, "capacity", 100.0)
    assert waited((second.gate, second.since), 700.0) == 600.0
    held = dataclasses.replace(second, gate="backoff", since=600.0)
    assert waited((held.gate, held.since), 700.0) == 0.0, "another wait is not the queue's"
    assert waited(None, 700.0) == 0.0
    back = {low.id: (held.gate, held.since)}
    assert decide(low, route, known(800.0), back).since == 800.0
