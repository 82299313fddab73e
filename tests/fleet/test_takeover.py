"""A host that is killed, frozen, or gone for good: who goes on with its work; how often steps are done."""

import signal
from collections import Counter
from typing import Any

import pytest

from daemon.core.fleet import TAKEOVERS
from daemon.core.status import RunState
from daemon.settings.model import HostSettings

LEASE = {"HANDOFFD_HOST__LEASE": "4"}
"""A beat of 0.4 s, silence counts after 1.2 s; the default is five times as long."""


def test_a_killed_host_is_taken_over_and_no_step_is_done_twice(fleet: Any) -> None:
    for name in ("one", "two"):
        fleet.start(name, **LEASE)
    fleet.judge("one", "two")
    task = fleet.add()
    fleet.until(lambda: fleet.working(task), "one of them works")
    dead = fleet.working(task)
    other = {"one": "two", "two": "one"}[dead]
    fleet.processes[dead].kill()
    fleet.until(lambda: fleet.working(task) == other, "the other goes on", within=30.0)
    fleet.go()
    fleet.ends(task)
    (run,) = fleet.short.store.runs(task=task)
    assert (run.host, run.attempt, run.state) == (other, 1, RunState.COMPLETED)
    done = Counter(word for word, _, _ in fleet.lines())
    assert done == {"one": 1, "two-begins": 2, "two-ends": 1, "three": 1}, "only what was cut began again"
    assert fleet.short.board.get(task).claim.owner.endswith(f"/{other}")
    assert fleet.host(dead).gone == f"taken over by {other}"
    assert fleet.host(other).alive


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_with_default_settings_a_killed_host_is_taken_over_within_30_s(fleet: Any) -> None:
    """Lease, beat, poll interval and jitter as they are when nobody sets them; a run is killed as
    often as it is resumed."""
    for name in ("HANDOFFD_POLL__INTERVAL", "HANDOFFD_POLL__JITTER"):
        del fleet.env[name]
    for name in ("one", "two"):
        fleet.start(name)
    task = fleet.add()
    fleet.until(lambda: fleet.working(task), "one of them works")
    took = []
    for settled in (True, False, True)[:TAKEOVERS]:
        dead = fleet.working(task)
        other = {"one": "two", "two": "one"}[dead]
        fleet.until(lambda: fleet.host(other) and fleet.host(other).alive, "the other is there")  # noqa: B023
        if settled:
            fleet.judge(other)
        assert fleet.host(other).lease == HostSettings().lease
        fleet.processes[dead].kill()
        took.append(fleet.until(lambda: fleet.working(task) == other, "the other goes on"))  # noqa: B023
        print(f"taken over after {took[-1]:.1f} s, settled: {settled}")
        fleet.start(dead)
    fleet.go()
    fleet.ends(task)
    assert max(took) < 30
    done = Counter(word for word, _, _ in fleet.lines())
    begun = len(took) + 1
    assert done == {"one": 1, "two-begins": begun, "two-ends": 1, "three": 1}, "only what was cut began again"


def test_a_frozen_host_finds_itself_fenced_and_joins_again(fleet: Any) -> None:
    for name in ("one", "two"):
        fleet.start(name, **LEASE)
    fleet.judge("one", "two")
    task = fleet.add()
    fleet.until(lambda: fleet.working(task), "one of them works")
    frozen = fleet.working(task)
    other = {"one": "two", "two": "one"}[frozen]
    boot = fleet.host(frozen).boot
    fleet.processes[frozen].send_signal(signal.SIGSTOP)
    fleet.until(lambda: fleet.working(task) == other, "the other goes on")
    fleet.go()  # the frozen host, too, finds its long step at its end when it wakes up
    fleet.ends(task)
    before = fleet.short.board.get(task)
    fleet.processes[frozen].send_signal(signal.SIGCONT)
    fleet.until(lambda: fleet.said(frozen, "host.fenced") == 1, "it notices")
    fleet.until(lambda: fleet.host(frozen).alive and fleet.host(frozen).boot != boot, "it joins again")
    assert fleet.processes[frozen].poll() is None, "the same process"
    lines = fleet.lines()
    # The step that it was in may come to its end, at most; nothing begins after it.
    assert [w for w, host, _ in lines if host == frozen][:2] == ["one", "two-begins"]
    assert not {("three", frozen)} & {(w, host) for w, host, _ in lines}
    assert [w for w, host, _ in lines if host == other] == ["two-begins", "two-ends", "three"]
    assert fleet.short.board.get(task) == before, "the page was left alone"
    (run,) = fleet.short.store.runs(task=task)
    assert (run.host, run.state) == (other, RunState.COMPLETED)
    fleet.processes[other].kill()
    another = fleet.add()
    fleet.ends(another)
    assert fleet.short.store.runs(task=another)[0].host == frozen, "it works again"


def test_a_host_that_drains_for_longer_than_its_lease_keeps_its_work(fleet: Any) -> None:
    lease = {"HANDOFFD_HOST__LEASE": "2", "HANDOFFD_RUN__DRAIN": "60"}
    for name in ("one", "two"):
        fleet.start(name, **lease)
    fleet.judge("one", "two")
    task = fleet.add()
    fleet.until(lambda: fleet.working(task), "one of them works")
    leaves = fleet.working(task)
    fleet.processes[leaves].terminate()
    fleet.until(lambda: fleet.said(leaves, "daemon.draining") == 1, "it drains")
    began = fleet.host(leaves).seen
    fleet.until(lambda: fleet.host(leaves).seen - began > 5.0, "it beats on for more than two leases")
    assert fleet.working(task) == leaves
    fleet.go()
    fleet.ends(task)
    assert fleet.processes[leaves].wait(30) == 0
    (run,) = fleet.short.store.runs(task=task)
    assert (run.host, run.attempt) == (leaves, 1)
    assert Counter(word for word, _, _ in fleet.lines()) == {
        "one": 1,
        "two-begins": 1,
        "two-ends": 1,
        "three": 1,
    }
    assert fleet.host(leaves).gone == "left"


def test_a_host_takes_over_only_what_it_can_do(fleet: Any) -> None:
    fleet.start("one", **LEASE)
    stays, anew = fleet.add("tracer"), fleet.add("careful")
    fleet.until(lambda: fleet.working(stays) == fleet.working(anew) == "one", "host one works on both")
    fleet.start("two", HANDOFFD_HOST__HANDLERS="careful", **LEASE)
    fleet.judge("two")
    fleet.processes["one"].kill()
    fleet.until(lambda: fleet.working(anew) == "two", "host two does what it can, from the top")
    second, first = fleet.short.store.runs(task=anew)
    assert (first.state, first.attempt, second.attempt) == (RunState.RETRYING, 1, 2)
    assert first.why.startswith("attempt 1 of 3 failed: the host that worked on it is gone")
    (run,) = fleet.short.store.runs(task=stays)
    assert (run.host, run.state) == ("one", RunState.RUNNING)

    waits, unknown = fleet.add("tracer"), fleet.add("handoff", agent="nobody")
    why = fleet.short.store.decision
    fleet.until(lambda: why(waits) and why(unknown), "host two has looked at the new ones")
    assert why(waits).reason == "waits for host one, which does not answer: tracer is there"
    assert why(unknown).gate == "host"

    fleet.start("one", **LEASE)  # back: it goes on where it was
    fleet.go()
    for task in (stays, anew, waits):
        fleet.ends(task)
    done = Counter((word, run.split(".")[0] == stays) for word, _, run in fleet.lines())
    assert done["one", True] == done["two-ends", True] == done["three", True] == 1
    assert done["two-begins", True] == 2
    assert why(unknown).reason == "no host has agent:nobody"
