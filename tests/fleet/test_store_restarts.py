"""The PostgreSQL below a fleet goes away under its work, for less and for more than a lease."""

import time
from collections import Counter
from typing import Any

import pytest

from daemon.core.status import RunState

LEASE = {"HANDOFFD_HOST__LEASE": "4"}


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "away",
    [pytest.param(1.0, marks=pytest.mark.faults, id="within the lease"), pytest.param(6.0, id="beyond it")],
)
def test_a_store_that_restarts_loses_no_work_and_doubles_none(on_own_server: Any, away: float) -> None:
    fleet, server = on_own_server
    for name in ("one", "two"):
        fleet.start(name, **LEASE)
    task = fleet.add()
    fleet.until(lambda: fleet.working(task), "one of them works")
    server.stop()
    time.sleep(away)
    fleet.go()  # its long step comes to its end while nothing can be written down, or just after
    server.start()
    fleet.ends(task)
    (run,) = fleet.short.store.runs(task=task)
    assert (run.state, run.attempt) == (RunState.COMPLETED, 1)
    done = Counter(word for word, _, _ in fleet.lines())
    # Who can't renew its lease stops at the next boundary: the step that it was in may be done once more.
    assert done["one"] == done["three"] == 1 and 1 <= done["two-ends"] <= 2, fleet.lines()
    if away < 4.0:
        assert done == {"one": 1, "two-begins": 1, "two-ends": 1, "three": 1}, fleet.lines()
    assert all(fleet.processes[name].poll() is None for name in ("one", "two")), "both live on"
    another = fleet.add()
    fleet.ends(another)
