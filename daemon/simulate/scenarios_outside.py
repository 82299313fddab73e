"""Scenarios of what is outside: the board, the process and its clock, neighbours, schedules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from daemon.core.status import Status
from daemon.simulate.behaviour import Plan
from daemon.simulate.board import Weather
from daemon.simulate.host import default_policy
from daemon.simulate.scenario import HOUR, build, claims, filled, must, scenario, schedule
from daemon.simulate.world import DAY, World

# ── the board ─────────────────────────────────────────────────────────────────────────────────────


@scenario("board-outage-of-an-hour")
def _outage(seed: int) -> World:
    """The board is away for an hour in the middle: nothing is lost, nothing is done twice."""
    world = build(seed)
    tasks = [world.add(f"task {i}", Plan(seconds=(90.0, 90.0))) for i in range(40)]
    world.agenda.after(600.0, lambda: world.board.outage(HOUR))
    world.run(4 * HOUR)
    must(world, all(world.status(t) is Status.COMPLETED for t in tasks), "all are Completed")
    must(world, all(claims(world, t) == 1 for t in tasks), "each was claimed once")
    return world


@scenario("multica-4336-lost-fail-post")
def _lost_end(seed: int) -> World:
    """The board goes away just when results are to be written: they are written when it is back."""
    world = build(seed)
    tasks = [
        world.add(f"task {i}", Plan(kind=k, seconds=(100.0,))) for i, k in enumerate(("done", "permanent"))
    ]
    world.until(lambda: all(world.status(t) is Status.IN_PROGRESS for t in tasks), 120.0)
    world.agenda.after(95.0, lambda: world.board.outage(1800.0))
    world.run(1 * HOUR)
    must(world, world.status(tasks[0]) is Status.COMPLETED, "the success is on the page")
    must(world, world.status(tasks[1]) is Status.FAILED, "so is the failure")
    must(world, len(world.claims) == 2, "no work was done again")
    return world


@scenario("stale-query")
def _stale(seed: int) -> World:
    """Every second query shows the past, up to three minutes ago: no task is claimed twice, none is
    cancelled by a ghost."""
    world = build(seed, weather=Weather(stale=0.5, lag=180.0))
    tasks = [world.add(f"task {i}") for i in range(60)]
    world.run(4 * HOUR)
    must(world, all(world.status(t) is Status.COMPLETED for t in tasks), "all are Completed")
    must(world, all(claims(world, t) == 1 for t in tasks), "each was claimed once")
    return world


@scenario("notion-patch-landed-after-timeout")
def _late(seed: int) -> World:
    """Three writes in ten land after their answer was given up, two in ten lose their answer."""
    world = build(seed, weather=Weather(late=0.3, lost=0.2))
    tasks = [world.add(f"task {i}") for i in range(60)]
    world.run(8 * HOUR)
    must(world, all(world.status(t) is Status.COMPLETED for t in tasks), "all are Completed")
    must(world, all(claims(world, t) == 1 for t in tasks), "each was claimed once")
    return world


@scenario("idle-hours")
def _idle(seed: int) -> World:
    """12 hours without a task: at most 130 board calls an hour (the predecessor made 460)."""
    world = build(seed)
    world.run(12 * HOUR)
    calls = sum(world.board.calls().values()) / 12
    must(world, calls <= 130.0, f"{calls:.0f} calls an hour")
    return world


# ── the process, its clock, its neighbours ────────────────────────────────────────────────────────


@scenario("crash-loop")
def _crashes(seed: int) -> World:
    """Killed at every third board call, effect or step end for two hours: each task ends once."""
    world = build(seed)
    tasks = [world.add(f"task {i}") for i in range(20)]

    def again(left: int) -> None:
        world.hosts[0].die_at_call = 3
        if left:
            world.agenda.after(60.0, lambda: again(left - 1))

    again(120)
    world.run(8 * HOUR)
    must(world, world.hosts[0].boots > 20, f"only {world.hosts[0].boots} boots")
    must(world, all(world.status(t) is Status.COMPLETED for t in tasks), "all are Completed")
    must(world, all(claims(world, t) == 1 for t in tasks), "each was claimed once")
    return world


@scenario("trace-573-busy-not-dead")
def _busy(seed: int) -> World:
    """A step of 50 minutes under a lease of 15: the claim is renewed and the run is left to work."""
    world = build(seed)
    task = world.add("long", Plan(seconds=(3000.0,)))
    world.run(2 * HOUR)
    must(world, world.status(task) is Status.COMPLETED and claims(world, task) == 1, "done at the first try")
    return world


@scenario("two-daemons-one-board")
def _two(seed: int) -> World:
    """Two daemons with a store each on one board: the second sees the first's live claim, takes nothing
    beside it, and says why. No task is claimed by both."""
    world = build(seed, hosts=(default_policy("alpha"), default_policy("beta")), stores=("storeA", "storeB"))
    first = [world.add(f"task {i}", Plan(seconds=(200.0,))) for i in range(10)]
    world.run(300.0)
    gates = {d.gate for h in world.hosts for d in h.held().values()}
    must(world, "claim" in gates, f"one of them says that another holds the board: {gates}")
    world.run(4 * HOUR)
    must(world, all(claims(world, t) == 1 for t in first), "each was claimed once")
    must(world, world.settled(first), "all ended")
    return world


@scenario("clock-steps")
def _steps(seed: int) -> World:
    """The machine's clock jumps an hour forth and back while tasks run and a schedule ticks: all are done
    once, with their proof, also where it went back in the middle of a run."""
    world = build(seed, schedules={"hourly": schedule("5 * * * *", overlap="queue")})
    tasks = [world.add(f"task {i}", Plan(seconds=(120.0,))) for i in range(60)]
    for number, jump in enumerate((HOUR, -HOUR, -HOUR, HOUR)):
        world.agenda.after(900.0 + 1500.0 * number, partial(world.step_clock, jump))
    world.run(12 * HOUR)
    must(world, all(world.status(t) is Status.COMPLETED for t in tasks), "all are Completed")
    must(world, all(claims(world, t) == 1 for t in tasks), "each was claimed once")
    must(world, 10 <= filled(world) <= 12, f"{filled(world)} hourly slots in 12 h")
    return world


# ── schedules ─────────────────────────────────────────────────────────────────────────────────────


@scenario("dst-night")
def _dst(seed: int) -> World:
    """02:30 in Berlin, over the night with none (it comes at 03:30) and the one with two: once a night."""
    start = datetime(2026, 3, 27, 12, tzinfo=UTC).timestamp()
    world = build(seed, start=start, schedules={"night": schedule("30 2 * * *", "Europe/Berlin")})
    world.run(4 * DAY)
    spring = filled(world)
    start = datetime(2026, 10, 23, 12, tzinfo=UTC).timestamp()
    world = build(seed, start=start, schedules={"night": schedule("30 2 * * *", "Europe/Berlin")})
    world.run(4 * DAY)
    must(world, spring == 4, f"{spring} tasks in four nights of March")
    must(world, filled(world) == 4, f"{filled(world)} tasks in four nights of October")
    return world


@scenario("hermes-106255-burst")
def _catch_up(seed: int) -> World:
    """Down for 40 minutes, and for a night: one slot is caught up, older ones are told as skipped."""
    world = build(seed, schedules={"often": schedule("*/10 * * * *", catch_up=900.0)})
    world.run(1 * HOUR + 300.0)
    before = filled(world)
    world.hosts[0].die(2400.0)
    world.run(2460.0)
    must(world, filled(world) == before + 1, "one slot was caught up")
    world.run(1200.0)
    world.hosts[0].die(8 * HOUR)
    world.run(8 * HOUR + 60.0)
    told = [o.state for o in world.hosts[0].store.occurrences("often", limit=60)]
    must(world, filled(world) == before + 4 and told.count("skipped") >= 45, f"one for the night: {told[:4]}")
    return world


@scenario("hermes-107485-makeup-eats-slot")
def _makeup(seed: int) -> World:
    """The slot that is caught up late takes the place of no other: the next ones come at their time."""
    world = build(seed, schedules={"often": schedule("*/10 * * * *", catch_up=900.0)})
    world.run(1 * HOUR + 300.0)
    before = filled(world)
    world.hosts[0].die(2400.0)
    world.run(2460.0)
    must(world, filled(world) == before + 1, "one slot was caught up")
    world.run(1200.0)
    must(world, filled(world) == before + 3, "the next two came at their time")
    return world


@scenario("n8n-6604-minute-edge")
def _edge(seed: int) -> World:
    """Pages that become Ready a breath before and after each full minute, with queries that show the past:
    none is missed and none is taken twice (the board's times have no seconds)."""
    world = build(seed, weather=Weather(stale=0.3, lag=90.0))
    tasks: list[str] = []
    for minute in range(1, 61):
        for offset in (-0.2, 0.0, 0.2):
            world.agenda.after(60.0 * minute + offset, lambda: tasks.append(world.add("at the edge")))
    world.run(8 * HOUR)
    must(world, len(tasks) == 180, f"{len(tasks)} pages")
    must(world, all(world.status(t) is Status.COMPLETED for t in tasks), "all are Completed")
    must(world, all(claims(world, t) == 1 for t in tasks), "each was claimed once")
    return world


@scenario("hermes-73277-hostname-change")
def _renamed(seed: int) -> World:
    """The machine has another name after a restart: what was under way goes on under the new one."""
    world = build(seed, hosts=(default_policy(alone=True),))
    tasks = [world.add(f"task {i}", Plan(seconds=(600.0, 600.0))) for i in range(2)]
    world.until(lambda: all(world.status(t) is Status.IN_PROGRESS for t in tasks), 300.0)
    world.run(300.0)
    host = world.hosts[0]
    host.die(60.0)
    host.name, host.policy = "renamed", replace(host.policy, host="renamed")
    world.run(2 * HOUR)
    must(world, all(world.status(t) is Status.COMPLETED for t in tasks), "all are Completed")
    must(world, all(claims(world, t) == 1 for t in tasks), "each was claimed once")
    return world


@scenario("aegra-547-same-worker-name")
def _same_name(seed: int) -> World:
    """Two daemons of one name with a store each: it is the claim that tells them apart, not the name."""
    policies = (default_policy("twin"), default_policy("twin"))
    world = build(seed, hosts=policies, stores=("storeA", "storeB"))
    tasks = [world.add(f"task {i}", Plan(seconds=(200.0,))) for i in range(10)]
    world.run(4 * HOUR)
    must(world, all(claims(world, t) == 1 for t in tasks), "each was claimed once")
    must(world, world.settled(tasks), "all ended")
    return world


@scenario("n8n-28480-same-minute")
def _same_minute(seed: int) -> World:
    """Two schedules in the same minute, and a crash at any point of filling them: one task each."""
    world = build(seed, schedules={n: schedule("0 * * * *") for n in ("one", "two")})

    def die_soon(chance: int) -> None:
        world.hosts[0].die_at_call = chance % 6 + 1
        world.agenda.after(HOUR, lambda: die_soon(chance + 1))

    world.agenda.at(world.setup.start + HOUR - 0.5, lambda: die_soon(0))
    world.run(24 * HOUR + 1800.0)
    must(world, filled(world) == 48, f"{filled(world)} tasks of 48 slots")
    return world
