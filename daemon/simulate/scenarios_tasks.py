"""Scenarios of tasks and the people behind them: order, proof, edits, agents that do not answer."""

from __future__ import annotations

from dataclasses import replace

from daemon.core import order
from daemon.core.breaker import Breaker
from daemon.core.status import Status
from daemon.core.task import Priority
from daemon.simulate.behaviour import PATIENCE_S, Plan
from daemon.simulate.board import Weather
from daemon.simulate.host import default_policy
from daemon.simulate.scenario import HOUR, build, claims, crash_loop, must, scenario
from daemon.simulate.world import World

# ── who goes first ────────────────────────────────────────────────────────────────────────────────


@scenario("vib-head-of-line-56")
def _head_of_line(seed: int) -> World:
    """One Critical task that always fails on top of 100 others: it is parked after its attempts, all others
    are done (56 of 56 cycles of the predecessor were spent on the top task)."""
    world = build(seed)
    poison = world.add("poison", Plan(kind="transient"), priority=Priority.CRITICAL)
    rest = [world.add(f"task {i}") for i in range(100)]
    world.run(6 * HOUR)
    must(world, world.status(poison) is Status.FAILED, "the poison task is parked as Failed")
    must(world, claims(world, poison) == world.setup.backoff.attempts, "it had all its attempts, no more")
    must(world, all(world.status(t) is Status.COMPLETED for t in rest), "all others are Completed")
    return world


@scenario("gh-sym-579-poison-starves")
def _poison_snoozes(seed: int) -> World:
    """As many endlessly retried tasks as there are places do not starve the rest."""
    world = build(seed)
    for number in range(2):
        world.add(f"poison {number}", Plan(kind="snooze"), priority=Priority.CRITICAL)
    rest = [world.add(f"task {i}") for i in range(20)]
    world.run(3 * HOUR)
    must(world, all(world.status(t) is Status.COMPLETED for t in rest), "all others are Completed")
    return world


@scenario("low-priority-wait")
def _low(seed: int) -> World:
    """A Low task beside Critical ones that fill 80 % of the places for 8 h: it waits, and is done."""
    world = build(seed)
    low = world.add("low", Plan(seconds=(30.0,)), priority=Priority.LOW)

    def more(left: int) -> None:
        if left:
            world.add(f"critical {left}", Plan(seconds=(60.0,)), priority=Priority.CRITICAL)
            world.agenda.after(75.0 / 2, lambda: more(left - 1))

    for number in range(10):
        world.add(f"first {number}", Plan(seconds=(60.0,)), priority=Priority.CRITICAL)
    more(760)
    world.run(8 * HOUR)
    must(world, world.status(low) is Status.COMPLETED, "the Low task is done")
    must(
        world,
        world.waits[low].seconds <= 2 * HOUR,
        f"it waited {world.waits[low].seconds:.0f} s, at most 2 h",
    )
    return world


@scenario("overload-starves-nobody")
def _overload(seed: int) -> World:
    """Critical and Medium tasks come without end, half as much again as the places can take. A Low task is
    done all the same: what came more than 4 steps of ageing after it never goes before it."""
    world = build(seed, hosts=(default_policy(ageing=600.0),))
    for number in range(10):
        world.add(f"first {number}", Plan(seconds=(60.0,)), priority=Priority.CRITICAL)
    world.run(120.0)
    low = world.add("low", Plan(seconds=(60.0,)), priority=Priority.LOW)
    came: dict[str, float] = {}

    def more(number: int) -> None:
        rank = Priority.MEDIUM if number % 4 == 0 else Priority.CRITICAL
        came[world.add(f"task {number}", Plan(seconds=(60.0,)), priority=rank)] = world.agenda.now
        world.agenda.after(20.0, lambda: more(number + 1))

    more(0)
    began = world.agenda.now
    world.run(3 * HOUR)
    must(world, world.status(low) is Status.COMPLETED, "the Low task is done")
    at = next(t for t, task in world.claims if task == low)
    window = order.overtaking_window(Priority.LOW, Priority.CRITICAL, 600.0)
    before = [came[task] - began for t, task in world.claims if t < at and task in came]
    must(world, max(before) < window + 60.0, f"one that came {max(before):.0f} s later went before it")
    must(world, len(came) - len(world.claims) > 100, "there was an overload all the time")
    return world


@scenario("service-down-pauses-the-handler")
def _outage(seed: int) -> World:
    """A service is down for two hours while 200 tasks are Ready: its handler is paused after a few attempts
    and tried again with one task at a time; afterwards all are done, and at most a handful were used up."""
    world = build(seed)
    up = world.agenda.now + 2 * HOUR
    tasks = [world.add(f"task {number}") for number in range(200)]
    for task in tasks:
        world.model.forced[task] = Plan(kind="transient", seconds=(5.0,))

    def mended() -> None:
        for task in tasks:
            world.model.forced[task] = Plan(seconds=(5.0,))

    world.agenda.after(up - world.agenda.now, mended)
    world.run(2 * HOUR)
    held = world.hosts[0].held()
    must(world, sum(d.gate == "breaker" for d in held.values()) > 150, "the pause holds the others")
    must(world, len(world.claims) < 30, f"{len(world.claims)} attempts were spent on a dead service")
    world.run(4 * HOUR)
    ends = [world.status(t) for t in tasks]
    must(world, ends.count(Status.COMPLETED) >= 190, "nearly all are done")
    must(world, all(e in (Status.COMPLETED, Status.FAILED) for e in ends), "none is left over")
    return world


@scenario("ten-thousand-ready")
def _ten_thousand(seed: int) -> World:
    """10,000 tasks become Ready at once: claimed strictly in the order of priority, due date and age."""
    world = build(seed, hosts=(default_policy(concurrency=50),))
    ranks = list(Priority)
    for number in range(10_000):
        world.add(f"task {number}", Plan(seconds=(60.0,)), priority=ranks[number % 4])
    wanted = sorted(world.board.pages.values(), key=order.key)
    world.run(150.0)
    taken = [t for _, t in world.claims]
    must(world, len(taken) >= 100, f"only {len(taken)} were claimed in 150 s")
    must(world, taken == [t.id for t in wanted[: len(taken)]], "the claims follow the order")
    return world


@scenario("ace-cap-counts-starts-not-runs")
def _cap(seed: int) -> World:
    """The cap is on what runs now, not on what was ever started: never more than two at once; all done."""
    world = build(seed)
    tasks = [world.add(f"task {i}", Plan(seconds=(50.0,))) for i in range(30)]
    most = 0

    def count() -> None:
        nonlocal most
        most = max(most, sum(p.status is Status.IN_PROGRESS for p in world.board.open_pages.values()))
        world.agenda.after(1.0, count)

    count()
    world.run(1 * HOUR)
    must(world, most == 2, f"{most} ran at once, 2 places")
    must(world, world.settled(tasks), "all ended")
    return world


@scenario("orbit-866-impossible-blocker")
def _circle(seed: int) -> World:
    """Two tasks that wait for each other are held with a reason; others go on."""
    world = build(seed)
    one = world.add("one")
    two = world.add("two", after=(one,))
    world.edit(one, after=(two,))
    other = world.add("other")
    world.run(1 * HOUR)
    held = world.hosts[0].held()
    must(world, all(held[t].gate == "prerequisites" for t in (one, two)), "both say what they wait for")
    must(world, world.status(other) is Status.COMPLETED, "the other one is done")
    return world


@scenario("gh-sym-140-retry-skips-blocker")
def _retry_blocked(seed: int) -> World:
    """A prerequisite that is added while a task waits for its next attempt holds that attempt back."""
    world = build(seed)
    task = world.add("task", Plan(kind="snooze"))
    world.until(lambda: claims(world, task) == 1 and world.status(task) is Status.READY, 600.0)
    before = world.add("before", status=Status.DRAFT)
    world.edit(task, after=(before,))
    world.run(2 * HOUR)
    must(world, claims(world, task) == 1, "no second attempt")
    must(world, world.hosts[0].held()[task].gate == "prerequisites", "the gate says why")
    return world


@scenario("vib-prefix-2dee7361")
def _prefix(seed: int) -> World:
    """Tasks whose ids share 8, 12, 16 or 31 digits are different tasks."""
    world = build(seed)
    first = world.board.pages[world.add("first")]
    ids = ["2dee7361" + "0" * 24] + ["2dee7361" + "0" * n + "1" + "0" * (23 - n) for n in (0, 4, 8, 22)]
    for number in [*ids, "2dee7361" + "0" * 23 + "1"]:
        world.board.add(replace(first, id=number, title=number))
    world.run(1 * HOUR)
    must(world, all(claims(world, t) == 1 for t in ids), "each was claimed once")
    must(world, world.settled(ids), "each ended")
    return world


# ── proof ─────────────────────────────────────────────────────────────────────────────────────────


@scenario("vib-2955-empty-success")
def _empty(seed: int) -> World:
    """A handler that says Done without evidence, or with evidence against it, makes no task Completed."""
    world = build(seed)
    empty = [world.add(f"empty {i}", Plan(kind="unproved")) for i in range(20)]
    wrong = [world.add(f"wrong {i}", Plan(kind="disproved")) for i in range(20)]
    world.run(3 * HOUR)
    must(world, world.settled(empty + wrong), "all ended")
    must(world, all(world.status(t) is Status.REVIEW for t in empty), "unproved is for a person to review")
    must(world, all(world.status(t) is Status.FAILED for t in wrong), "disproved is Failed")
    return world


@scenario("jre-unreachable-cap")
def _attempts(seed: int) -> World:
    """The cap on attempts is reached, also over crashes: three, then Failed with the reason. (Here no breaker
    keeps the tasks from their attempts.)"""
    world = build(seed, hosts=(default_policy(breaker=Breaker(after=0)),))
    tasks = [world.add(f"task {i}", Plan(kind=k)) for i, k in enumerate(("transient", "bug") * 5)]
    for minute in range(1, 30):
        world.agenda.after(minute * 70.0, lambda: world.hosts[0].die(5.0))
    world.run(3 * HOUR)
    must(world, all(world.status(t) is Status.FAILED for t in tasks), "all are Failed")
    must(world, all(claims(world, t) == 3 for t in tasks), "three attempts each, however often it crashed")
    must(world, all("gave up after 3" in world.board.pages[t].why for t in tasks), "the page says so")
    return world


# ── people ────────────────────────────────────────────────────────────────────────────────────────


@scenario("reassigned-mid-run")
def _reassigned(seed: int) -> World:
    """A person gives tasks to another agent: one that is being worked on, one that waits. Both stop, start
    anew with the new one, and use up no attempt."""
    world = build(seed)
    works = world.add("works", Plan(seconds=(10.0,) + (300.0,) * 10), agent="Cursor")
    waits = world.add("waits", Plan(kind="waits", answer_after=2 * HOUR), agent="Cursor")
    world.until(lambda: world.status(waits) is Status.WAITING, 600.0)
    for task in (works, waits):
        world.edit(task, agents=("Codex",))
    world.until(lambda: claims(world, works) == claims(world, waits) == 2, 600.0)
    world.run(6 * HOUR)
    must(world, world.settled((works, waits)), "both are done")
    must(world, all(world.board.pages[t].attempts == 1 for t in (works, waits)), "no attempt is used up")
    return world


@scenario("wso2-424-cancel-keeps-billing")
def _cancelled(seed: int) -> World:
    """A person cancels a task mid-run: within one poll its work stops, and the page stays Cancelled."""
    world = build(seed)
    task = world.add("task", Plan(seconds=(10.0,) + (300.0,) * 10))
    world.until(lambda: world.status(task) is Status.IN_PROGRESS, 120.0)
    world.run(400.0)
    world.board.set_status(task, Status.CANCELLED)
    took = world.until(lambda: not world.hosts[0].store.active_runs(), 120.0)
    must(world, took <= 36.0, f"it took {took:.0f} s, one poll is at most 35 s")
    world.run(1 * HOUR)
    must(world, world.status(task) is Status.CANCELLED, "the page stays as the person left it")
    return world


@scenario("gh-sym-433-phantom-recovery")
def _phantom(seed: int) -> World:
    """A person finishes a task while the daemon is down: after the restart it is left alone."""
    world = build(seed)
    task = world.add("task", Plan(seconds=(600.0, 600.0)))
    world.until(lambda: world.status(task) is Status.IN_PROGRESS, 120.0)
    world.run(700.0)
    world.hosts[0].die(1800.0)
    world.board.set_status(task, Status.COMPLETED)
    world.run(3 * HOUR)
    must(world, world.status(task) is Status.COMPLETED and claims(world, task) == 1, "left alone")
    must(world, not world.hosts[0].store.active_runs(), "its attempt is closed")
    return world


@scenario("zeroclaw-recover-all")
def _persons_own(seed: int) -> World:
    """A page that a person set In Progress, with no claim of ours, is never touched, restart or not."""
    world = build(seed)
    task = world.add("mine", status=Status.IN_PROGRESS)
    page = world.board.pages[task]
    world.run(600.0)
    world.hosts[0].die(60.0)
    world.run(2 * HOUR)
    must(world, world.board.pages[task] == page, "it is as the person left it")
    return world


@scenario("vib-357-day-trigger")
def _nobody(seed: int) -> World:
    """An agent that never answers: Waiting says for whom, holds no place, and ends with a person in 72 h."""
    world = build(seed)
    silent = [world.add(f"silent {i}", Plan(kind="never")) for i in range(5)]
    others = [world.add(f"task {i}") for i in range(10)]
    world.run(1 * HOUR)
    must(world, all(world.status(t) is Status.WAITING for t in silent), "they wait")
    must(world, all("waits for" in world.board.pages[t].why for t in silent), "and say for whom")
    must(world, all(world.status(t) is Status.COMPLETED for t in others), "others go on")
    world.run(PATIENCE_S)
    must(world, all(world.status(t) is Status.BLOCKED for t in silent), "a person is asked after 72 h")
    return world


@scenario("preloop-510-late-approval")
def _late(seed: int) -> World:
    """A person decides after days: the task waits for them as long as it takes, holds no place, and what they
    decide is done. Nothing is decided in their stead."""
    world = build(seed)
    task = world.add("task", Plan(kind="blocked"))
    others = [world.add(f"task {i}") for i in range(10)]
    world.run(96 * HOUR)
    must(world, world.status(task) is Status.BLOCKED, "it still waits for a person")
    must(world, all(world.status(t) is Status.COMPLETED for t in others), "others went on")
    world.model.forced[task] = Plan()
    world.board.set_status(task, Status.READY)
    world.run(1 * HOUR)
    must(world, world.status(task) is Status.COMPLETED and claims(world, task) == 2, "done once it was said")
    return world


@scenario("multica-1049-self-reply-677")
def _storm(seed: int) -> World:
    """20 tasks make five follow-ups each, in a daemon that crashes all the time: 100 pages, none twice."""
    world = build(seed, weather=Weather(lost=0.1))
    parents = [world.add(f"parent {i}", Plan(kind="follow-ups", children=5)) for i in range(20)]
    crash_loop(world, every=40.0, lasts=1 * HOUR)
    world.run(6 * HOUR)
    made = [p.source_key for p in world.board.pages.values() if p.source_key]
    must(world, len(made) == len(set(made)) == 100, f"{len(made)} follow-ups, {len(set(made))} keys")
    must(world, world.settled(parents), "all parents ended")
    return world
