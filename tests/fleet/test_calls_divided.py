"""Hosts of one store divide the calls of their token: fairly, at once, and never more than there are."""

import random
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from daemon.allowance import Allowance
from daemon.board.budget import WINDOW_S, Budget
from daemon.core.errors import Unreachable
from daemon.core.fleet import growth
from daemon.store import open_engine, tables
from daemon.store.hosts import Hosts
from daemon.store.shares import Crowd, Shares, budget_of
from daemon.store.tables import metadata
from daemon.testing import QuietLog


class Virtual:
    """Time that only passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def read(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Member:
    """A host in virtual time."""

    budget: Budget
    allowance: Allowance
    seen: float


class Table:
    """What ``Shares`` keeps, in memory and virtual time; the same rules as in the database."""

    LEASE = 20.0

    def __init__(self, clock: Virtual) -> None:
        self.clock = clock
        self.calls: dict[str, int] = {}
        self.seen: dict[str, float] = {}
        self.gone: set[str] = set()

    def of(self, name: str) -> Any:
        table = self

        class One:
            def mine(self) -> int:
                return table.calls.get(name, 0)

            def crowd(self) -> Crowd:
                now, lease = table.clock.now, table.LEASE
                alive = {n for n in table.calls if n not in table.gone and now - table.seen[n] <= lease} | {
                    name
                }
                others = sum(
                    c for n, c in table.calls.items() if n != name and now - table.seen[n] <= lease + WINDOW_S
                )
                return Crowd(alive=len(alive), rank=sorted(alive).index(name), others=others)

            def lower(self, calls: int) -> None:
                table.calls[name] = calls

            def rise(self, limit: int, *, have: int, wanted: int) -> int:
                calls = growth(limit, have=have, wanted=wanted, others=self.crowd().others)
                table.calls[name] = calls
                return calls

        return One()


@pytest.mark.parametrize("seed", range(12))
def test_whoever_comes_and_goes_no_60_seconds_see_more_calls_than_the_limit(seed: int) -> None:
    rng, clock, limit = random.Random(seed), Virtual(), 40
    table, members, sent = Table(clock), dict[str, Member](), list[float]()
    names = [f"host{n}" for n in range(5)]

    def come(name: str) -> None:
        table.seen[name] = clock.now
        table.gone.discard(name)
        table.calls.pop(name, None)  # a machine that was never here: nothing is known of its calls
        budget = Budget(limit, monotonic=clock.read, pause=clock.pass_)
        allowance = Allowance(
            table.of(name), budget, limit=limit, every=2.0, log=QuietLog(), monotonic=clock.read
        )
        members[name] = Member(budget, allowance, clock.now)
        allowance.enter(lambda _: clock.pass_(1.0))

    def call(name: str) -> None:
        budget = members[name].budget
        if len(budget._sent) - sum(clock.now - s >= WINDOW_S for s in budget._sent) < budget.limit:
            budget.take(urgent=True, patience=0.0)
            sent.append(clock.now)

    fresh = iter(f"{n}{i}" for i in range(10_000) for n in names)
    for _ in range(4000):
        clock.pass_(rng.choice((0.01, 0.05, 0.5, 2.0)))
        for name in members:
            if clock.now - members[name].seen >= 2.0:
                table.seen[name] = members[name].seen = clock.now
                members[name].allowance.renew()
        match rng.random():
            case x if x < 0.01 and len(members) < 5:
                come(next(fresh))
            case x if x < 0.014 and members:
                name = rng.choice(sorted(members))
                members.pop(name).allowance.leave()
                table.gone.add(name)
            case x if x < 0.016 and members:
                members.pop(rng.choice(sorted(members)))  # killed: its row stays as it was
            case _ if members:
                call(rng.choice(sorted(members)))
    worst = max(sum(start <= t < start + 60.0 for t in sent) for start in sent)
    assert worst <= limit
    assert len(sent) > 0.4 * limit * (sent[-1] - sent[0]) / 60.0, "and most of what there is gets used"


@pytest.fixture
def store(own_database: str) -> Any:
    engine = open_engine(own_database)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def member(engine: Any, name: str, limit: int = 180, token: str = "one") -> tuple[Hosts, Allowance, Budget]:
    hosts = Hosts(engine)
    hosts.join(executor=f"x-{name}", name=name, boot="b" * 16, version="1", pid=1, lease=20.0)
    budget = Budget(limit, monotonic=time.monotonic, pause=time.sleep)
    key = budget_of("http://board", token, "store")
    shares = Shares(engine, executor=f"x-{name}", budget=key, memory=WINDOW_S)
    return hosts, Allowance(shares, budget, limit=limit, every=0.0, log=QuietLog()), budget


def at_once(allowance: Allowance) -> None:
    """A beat at which it is time to reckon."""
    allowance._next = float("-inf")
    allowance.renew()


def test_the_rows_of_a_real_store_divide_it(store: Any) -> None:
    _, one, first = member(store, "one")
    one.enter(time.sleep)
    assert first.limit == 180, "a host alone has the whole"
    for _ in range(100):
        first.take(urgent=True, patience=0.0)
    hosts, two, second = member(store, "two")
    two.enter(time.sleep)
    assert second.limit == 0, "the first has not given yet"
    with pytest.raises(Unreachable, match="no part of the board's calls"):
        second.take(urgent=True, patience=0.0)
    at_once(one)
    at_once(two)
    assert rows(store) == {"one": 100, "two": 80}, "what it has used in the last minute it can't give"
    assert (first.limit, second.limit) == (90, 80), "but it uses no more of it"
    first._sent.clear()  # a minute later
    at_once(one)
    at_once(two)
    assert (first.limit, second.limit) == (90, 90)
    _, other, apart = member(store, "three", token="another")
    other.enter(time.sleep)
    assert apart.limit == 180, "another token has a budget of its own"
    second.take(urgent=True, patience=0.0)
    two.leave()
    hosts.leave("x-two", "b" * 16)
    at_once(one)
    assert first.limit == 179, "all but what may have been used a moment ago"
    _silent_for(store, "two", 20.0 + WINDOW_S + 1.0)
    at_once(one)
    assert first.limit == 180


def test_a_host_with_calls_waiting_gives_them_up_all_the_same() -> None:
    clock = Virtual()
    budget = Budget(60, monotonic=clock.read, pause=clock.pass_)
    for _ in range(60):
        budget.take(urgent=True, patience=0.0)
    assert budget.shrink(30) == 60
    clock.pass_(WINDOW_S)
    while clock.now < 1000.0 + 3 * WINDOW_S:  # whoever waits takes each place at once
        budget.take(urgent=True, patience=0.0)
        assert budget.shrink(30) == 30


def test_a_host_that_died_keeps_its_part_for_its_lease_and_a_window(store: Any) -> None:
    _, one, first = member(store, "one")
    one.enter(time.sleep)
    _, two, second = member(store, "two")
    two.enter(time.sleep)
    at_once(one)
    at_once(two)
    assert (first.limit, second.limit) == (90, 90)
    _silent_for(store, "two", 21.0)
    at_once(one)
    assert first.limit == 90, "its last calls may still count"
    _silent_for(store, "two", 82.0)
    at_once(one)
    assert first.limit == 180


def test_a_host_that_starts_again_has_its_part_at_once(store: Any) -> None:
    _, one, _ = member(store, "one")
    one.enter(time.sleep)
    _, again, budget = member(store, "one")
    again.enter(lambda _: pytest.fail("it waited"))
    assert budget.limit == 180


def test_hosts_that_raise_their_parts_at_once_do_not_take_the_same(store: Any) -> None:
    made = [member(store, f"host{n}", limit=100) for n in range(8)]
    for _, allowance, _ in made:
        allowance._shares.lower(0)
    start = threading.Barrier(8)

    def rise(allowance: Allowance) -> None:
        start.wait()
        allowance._shares.rise(100, have=0, wanted=60)

    threads = [threading.Thread(target=rise, args=(a,)) for _, a, _ in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.connect() as c:
        assert c.execute(sa.select(sa.func.sum(tables.shares.c.calls))).scalar() == 100


def rows(engine: Any) -> dict[str, int]:
    """What each host may use, by its row."""
    both = sa.select(tables.hosts.c.name, tables.shares.c.calls).join(
        tables.hosts, tables.hosts.c.executor == tables.shares.c.executor
    )
    with engine.connect() as c:
        return {row.name: row.calls for row in c.execute(both)}


def _silent_for(engine: Any, name: str, seconds: float) -> None:
    with engine.begin() as c:
        now = sa.extract("epoch", sa.func.clock_timestamp())
        c.execute(sa.update(tables.hosts).where(tables.hosts.c.name == name).values(seen=now - seconds))


class Watched:
    """Counts what the board's limit lets through and what it refuses."""

    def __init__(self, server: Any, limit: int) -> None:
        self.window = server.app.state.board.rate
        self.window.limit = limit
        self.taken = self.refused = 0
        self._last = time.monotonic()
        self._spend = self.window.spend
        self.window.spend = self.spend

    def spend(self, now_ms: int) -> None:
        try:
            self._spend(now_ms)
        except Exception:
            self.refused += 1
            raise
        self.taken += 1
        self._last = time.monotonic()

    def silent(self) -> float:
        """Seconds since it let a call through."""
        return time.monotonic() - self._last


LIMIT = 60


def test_two_daemons_never_meet_a_429(fleet: Any) -> None:
    for name in ("one", "two"):
        fleet.start(name, HANDOFFD_BOARD__RATE_LIMIT=str(LIMIT), HANDOFFD_RUN__CONCURRENCY="8")
    fleet.until(
        lambda: _parts(fleet, "one", "two") == [LIMIT // 2, LIMIT // 2], "they divide it", within=90.0
    )
    for _ in range(40):
        fleet.add("report")
    board = Watched(fleet.server, LIMIT)
    fleet.until(lambda: board.refused or board.silent() > 4.0, "they have used what they have", within=90.0)
    assert board.refused == 0
    assert board.taken > LIMIT / 3
    assert {r.host for r in fleet.short.store.runs()} == {"one", "two"}, "each did its part"
    assert len(fleet.short.store.runs()) < 40, "they would go on if they were let"


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_daemons_that_come_and_go_for_four_minutes_never_meet_a_429(fleet: Any) -> None:
    for _ in range(120):
        fleet.add("report")
    board = Watched(fleet.server, LIMIT)
    more = {"HANDOFFD_BOARD__RATE_LIMIT": str(LIMIT), "HANDOFFD_RUN__CONCURRENCY": "8"}
    fleet.start("one", **more)
    fleet.until(lambda: board.taken >= LIMIT - 15, "one uses the whole")
    fleet.start("two", **more)
    fleet.until(lambda: fleet.said("two", "daemon.started"), "it is up, with or without a part", within=30.0)
    fleet.until(lambda: _parts(fleet, "one", "two") == [30, 30], "they divide it", within=90.0)
    fleet.start("three", **more)
    fleet.until(lambda: _parts(fleet, "one", "two", "three") == [20, 20, 20], "again", within=90.0)
    fleet.processes["two"].kill()
    fleet.until(lambda: sum(_parts(fleet, "one", "three")) == LIMIT, "what two had is theirs", within=120.0)
    assert board.refused == 0
    assert board.taken > 3 * LIMIT


def _parts(fleet: Any, *names: str) -> list[int]:
    found = rows(fleet.short.store.engine)
    return [found.get(n, 0) for n in names]
