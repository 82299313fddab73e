"""Two versions of the code on one store at once: an upgrade that rolls over the hosts with runs in flight."""

from collections import Counter
from typing import Any

import pytest

from daemon.core.status import RunState

OLD = {"AS_VERSION": "1.0.0", "CODE": "1", "HANDOFFD_RUN__DRAIN": "1"}
NEW = {"AS_VERSION": "2.0.0", "CODE": "2", "HANDOFFD_RUN__DRAIN": "1"}
"""The new code has one more step, at the end."""


def test_an_upgrade_rolls_over_two_hosts_and_a_run_in_flight_ends_under_the_new_code(fleet: Any) -> None:
    for name in ("one", "two"):
        fleet.start(name, **OLD)
    task = fleet.add()
    fleet.until(lambda: fleet.working(task), "one of them works")
    busy = fleet.working(task)
    idle = {"one": "two", "two": "one"}[busy]
    fleet.until(lambda: fleet.host(idle), "the other is there")

    fleet.processes[idle].terminate()
    assert fleet.processes[idle].wait(30) == 0
    fleet.start(idle, **NEW)
    fleet.until(lambda: fleet.host(idle).alive and fleet.host(idle).version == "2.0.0", "it is upgraded")
    others = [fleet.add("report") for _ in range(10)]
    for other in others:
        fleet.ends(other)
    assert fleet.host(busy).alive and fleet.host(busy).version == "1.0.0"
    ended = {r.host for r in fleet.short.store.runs(handler="report")}
    assert ended == {busy, idle}, "old and new code work side by side"
    assert fleet.working(task) == busy, "what is in flight was left alone"

    fleet.processes[busy].terminate()
    assert fleet.processes[busy].wait(30) == 0
    (run,) = fleet.short.store.runs(task=task)
    assert (run.host, run.state) == (busy, RunState.RUNNING), "its drain was too short for the step"
    fleet.start(busy, **NEW)
    fleet.until(lambda: Counter(w for w, _, _ in fleet.lines())["two-begins"] == 2, "the step begins again")
    fleet.go()
    fleet.ends(task)
    (run,) = fleet.short.store.runs(task=task)
    assert (run.host, run.attempt, run.state) == (busy, 1, RunState.COMPLETED)
    assert fleet.host(busy).version == "2.0.0"
    done = Counter(word for word, _, _ in fleet.lines())
    assert done == {"one": 1, "two-begins": 2, "two-ends": 1, "three": 1, "four": 1}


@pytest.mark.parametrize(("dies", "stays", "last"), [(OLD, NEW, "four"), (NEW, OLD, "three")])
def test_a_host_takes_over_from_one_of_another_version(
    fleet: Any, dies: dict[str, str], stays: dict[str, str], last: str
) -> None:
    lease = {"HANDOFFD_HOST__LEASE": "4"}
    fleet.start("one", **dies, **lease)
    task = fleet.add()
    fleet.until(lambda: fleet.working(task), "it works")
    fleet.start("two", **stays, **lease)
    fleet.judge("two")
    assert fleet.host("one").version != fleet.host("two").version
    fleet.processes["one"].kill()
    fleet.until(lambda: fleet.working(task) == "two", "the other goes on")
    fleet.go()
    fleet.ends(task)
    (run,) = fleet.short.store.runs(task=task)
    assert (run.host, run.attempt, run.state) == ("two", 1, RunState.COMPLETED)
    done = Counter(word for word, _, _ in fleet.lines())
    assert done["one"] == done["two-ends"] == done["three"] == done[last] == 1
    assert done["four"] == (last == "four")
