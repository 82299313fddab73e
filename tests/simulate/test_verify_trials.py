"""Daemons that share a board and no store race for the same tasks in virtual time: nobody runs twice.

A trial is one task that N daemons see Ready in the same second. Each claim takes up to its whole time between
read and write; answers get lost; some claims land long after their daemon gave them up.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest

from daemon.core.claim import Verify
from daemon.core.status import RunState, Status
from daemon.simulate.behaviour import Plan
from daemon.simulate.board import Weather
from daemon.simulate.host import default_policy
from daemon.simulate.world import Setup, World

VERIFY = Verify(settle=6.0, call_timeout=4.0)
LEASE = 60.0
TASKS = 10
"""Trials in one world: each of its daemons has places for all."""

BEGAN = frozenset(RunState) - {RunState.CLAIMING, RunState.RELEASED}
LOSSY = Weather(races=True, stale=0.8, lag=2.0, lost=0.15, refused=0.05)
OVERDUE = Weather(races=True, stale=0.8, lag=2.0, lost=0.10, overdue=0.20)


@dataclass
class Count:
    trials: int = 0
    doubled: int = 0
    unfinished: int = 0
    lost_races: int = 0
    abandoned: int = 0
    again: int = 0
    """Begun anew by another after the one before had been stopped, or had ended."""
    upheld: int = 0
    """Late claims that were written over by whoever had proved his."""


def race(seed: int, daemons: int, weather: Weather, verify: Verify | None = VERIFY) -> World:
    policies = tuple(
        default_policy(f"host{n}", concurrency=TASKS, lease=LEASE, interval=5.0, verify=verify)
        for n in range(daemons)
    )
    setup = Setup(
        seed=seed,
        hosts=policies,
        stores=tuple(f"store{n}" for n in range(daemons)),
        weather=weather,
        weights={"done": 1.0},
        jitter=1.0,
    )
    world = World(setup)
    for number in range(TASKS):
        world.add(f"task {number}", Plan(seconds=(2.0, 1.0)))
    for host in world.hosts:
        world.agenda.after(10.0 + world.rng.random(), host.boot)
    world.run(600.0)
    for _ in range(5):  # several late claims in a row over one page: each takes its lapse
        if not world.settled(world.board.pages):
            world.run(300.0)
    return world


def spans(world: World, task: str) -> list[tuple[float, float]]:
    """From when to when each run of the task worked: from its claim's proof to its end."""
    out = []
    for host in world.hosts:
        for run in host.store.runs(task=task):
            if run.state in BEGAN:
                began = next(e.at for e in host.store.events(run=run.run) if e.name == "task.claimed")
                out.append((began, run.ended or world.agenda.now))
    return sorted(out)


def overlaps(worked: list[tuple[float, float]]) -> bool:
    """Was there a moment with two runs at once?"""
    return any(end > start for (_, end), (start, _) in itertools.pairwise(worked))


def count(worlds: int, daemons: int, weather: Weather, first_seed: int = 1) -> Count:
    out = Count()
    for seed in range(first_seed, first_seed + worlds):
        world = race(seed, daemons, weather)
        for task, page in world.board.pages.items():
            worked = spans(world, task)
            out.trials += 1
            out.doubled += overlaps(worked)
            out.again += len(worked) > 1
            out.upheld += sum(
                e.name == "claim.upheld" for h in world.hosts for e in h.store.events(task=task, limit=1000)
            )
            out.unfinished += page.status is not Status.COMPLETED
            released = [
                r.why for h in world.hosts for r in h.store.runs(task=task) if r.state is RunState.RELEASED
            ]
            out.lost_races += sum("another daemon was later" in why for why in released)
            out.abandoned += sum("answer" in why or "in time" in why for why in released)
    return out


@pytest.mark.parametrize("daemons", [2, 4])
def test_daemons_without_a_common_store_run_each_task_once(daemons: int) -> None:
    found = count(25, daemons, LOSSY)
    print(found)
    assert (found.trials, found.doubled, found.again, found.unfinished) == (250, 0, 0, 0)
    assert found.lost_races > found.trials / 4, "the races were real"
    assert found.abandoned > 10, "answers were lost"


@pytest.mark.parametrize("daemons", [2, 4])
def test_claims_that_land_after_everything_make_no_second_run(daemons: int) -> None:
    found = count(25, daemons, OVERDUE)
    print(found)
    assert (found.doubled, found.again, found.unfinished) == (0, 0, 0)
    assert found.upheld > found.trials / 10, "late claims were met: without them this test shows nothing"


def test_without_upholding_late_claims_the_trials_find_tasks_that_begin_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("daemon.upheld.UpheldBoard._seen", lambda self, task, run, quiet: task)
    monkeypatch.setattr("daemon.upheld.UpheldBoard._under_way", lambda self, task: None)
    found = count(10, 2, OVERDUE)
    assert found.again > 0
    assert found.doubled == 0


def test_a_settle_time_shorter_than_the_claims_is_found_out() -> None:
    """The trials can fail: read back before rivals have landed, tasks are run by two daemons at once."""
    hasty = Verify(settle=0.2, call_timeout=9.8)
    doubled = 0
    for seed in range(1, 6):
        world = race(seed, 4, LOSSY, hasty)
        doubled += sum(overlaps(spans(world, task)) for task in world.board.pages)
    assert doubled > 0


@pytest.mark.faults
@pytest.mark.parametrize(("daemons", "weather"), [(2, LOSSY), (4, LOSSY), (2, OVERDUE), (4, OVERDUE)])
def test_10_000_trials(daemons: int, weather: Weather) -> None:
    found = count(250, daemons, weather, first_seed=1_000)
    print(daemons, found)
    assert (found.trials, found.doubled, found.again, found.unfinished) == (2_500, 0, 0, 0)
