"""What is started and what is not: order, places, prerequisites, refusals, claims."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from daemon.core.errors import Unreachable
from daemon.core.gates import Call
from daemon.core.status import RunState, Status
from daemon.core.task import Draft
from tests.engine.rig import CALLS, GO, Rig


def test_nothing_but_ready_is_ever_touched(rig: Rig) -> None:
    others = [s for s in Status if s is not Status.READY]
    ids = [rig.add(status=s) for s in others]
    rig.ends_as(rig.add(), Status.COMPLETED)
    assert [rig.status(i) for i in ids] == others
    assert all(rig.board.pages[i].claim is None and rig.board.pages[i].why == "" for i in ids)


def test_an_unknown_handler_is_refused_on_the_page_and_in_why(rig: Rig) -> None:
    task = rig.board.create(Draft(title="x", handler="no/such\u202ething")).id
    rig.until(lambda: rig.status(task) is Status.BLOCKED)
    page = rig.board.pages[task]
    assert "unknown handler" in page.why and "use one of: probe" in page.why and "\u202e" not in page.why
    said = rig.store.decision(task)
    assert said is not None and (said.verdict, said.gate) == (Call.REFUSE, "handler")


def test_bad_parameters_are_refused_with_the_reason(rig: Rig) -> None:
    task = rig.board.create(Draft(title="x", handler="probe", parameters="n = 'many'")).id
    rig.until(lambda: rig.status(task) is Status.BLOCKED)
    assert "Parameters" in rig.board.pages[task].why


def test_order_is_priority_then_due_then_age_and_a_poison_task_holds_back_none(rig: Rig) -> None:
    from daemon.core.task import Priority

    rig.concurrency = 1
    poison = rig.add("bug", priority=Priority.CRITICAL)
    low = rig.add(priority=Priority.LOW, title="low")
    high = [rig.add(priority=Priority.HIGH, title=f"high {i}") for i in range(3)]
    rig.until(lambda: all(rig.status(i) is Status.COMPLETED for i in [*high, low]))
    first = [i for i, s in rig.board.history if s == "In Progress"]
    assert first[0] == poison
    assert [i for i in first if i != poison] == [*high, low]
    rig.ends_as(poison, Status.FAILED)


def test_places_of_a_long_board_are_filled_without_reading_all_of_it_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each end of a run costs a call for every hundred rows: a bulk of 1,000 took 13 calls a task."""
    monkeypatch.setattr("daemon.tick.ONE_CALL", 5)
    rig.interval = 600.0
    tasks = [rig.add(title=f"{i}") for i in range(12)]
    rig.tick.run()
    looks = rig.board.calls()["look"]
    rig.board.set_status(tasks[6], Status.CANCELLED)  # neither change is in what was looked at
    rig.board.pages[tasks[7]] = replace(rig.board.pages[tasks[7]], description="not the same any more")
    late = rig.add(title="late")
    others = [t for t in tasks if t not in (tasks[6], tasks[7])]
    end = time.monotonic() + 20.0
    while any(rig.status(t) is not Status.COMPLETED for t in others) or rig.store.active_runs():
        assert time.monotonic() < end
        rig.tick.fill()
        time.sleep(0.03)
    assert rig.board.calls()["look"] == looks
    assert [i for i, s in rig.board.history if s == "In Progress"] == others
    assert rig.status(tasks[6]) is Status.CANCELLED
    assert rig.status(tasks[7]) is Status.READY, "what has changed is decided about at the next look"
    rig.interval = 0.0  # due
    while any(rig.status(t) is not Status.COMPLETED for t in (tasks[7], late)):
        assert time.monotonic() < end
        rig.tick.fill()
        time.sleep(0.03)
    assert rig.board.calls()["look"] > looks and rig.status(tasks[6]) is Status.CANCELLED


def test_a_short_board_is_looked_at_for_each_place(rig: Rig) -> None:
    """It costs one call, and shows what has come meanwhile."""
    rig.interval = 600.0
    rig.tick.run()
    task = rig.add()
    rig.tick.fill()
    assert len(rig.store.runs(task=task)) == 1
    rig.ends_as(task, Status.COMPLETED)


def test_prerequisites_hold_and_name_what_is_open(rig: Rig) -> None:
    first = rig.add("hold")
    second = rig.add(after=(first, "f" * 32))
    third = rig.add(after=(first,))
    rig.until(lambda: second in rig.tick.snapshot.decisions)
    said = rig.tick.snapshot.decisions[second]
    assert said.gate == "prerequisites" and "not readable" in said.reason
    GO.set()
    rig.ends_as(third, Status.COMPLETED)
    assert rig.status(second) is Status.READY


def test_a_board_that_is_down_is_unknown_not_empty(rig: Rig) -> None:
    task = rig.add("hold")
    rig.until(lambda: rig.runner.working() != [])
    down = {"now": True}

    def fail(purpose: str) -> None:
        if down["now"]:
            raise Unreachable("no route to the board")

    rig.board.fail = fail
    GO.set()
    for _ in range(10):
        snapshot = rig.tick.run()
        time.sleep(0.02)
    assert "no route" in snapshot.board_error
    assert [t.id for t in snapshot.tasks] == [task]
    assert rig.status(task) is Status.IN_PROGRESS
    down["now"] = False
    page = rig.ends_as(task, Status.COMPLETED)
    assert page.result.startswith("Held.") and CALLS == ["after"]
    names = [e.name for e in rig.store.events()]
    assert names.count("board.unreachable") == 1 and names.count("board.back") == 1


def test_a_second_store_on_the_board_is_noticed_and_nothing_is_claimed(rig: Rig) -> None:
    from daemon.core.claim import Claim

    other = rig.add(status=Status.READY, title="theirs")
    theirs = Claim(
        owner="store2/x", generation=1, nonce="abcd", lease_until_ms=int(time.time() * 1000) + (9e5).__int__()
    )
    rig.board.claim(rig.board.pages[other], theirs, 1)
    mine = rig.add()
    rig.tick.run()
    assert rig.status(mine) is Status.READY
    said = rig.tick.snapshot.decisions[mine]
    assert said.gate == "claim" and "store2/x" in said.reason


def test_a_half_made_claim_is_finished_by_the_next_tick(rig: Rig) -> None:
    task = rig.add()
    broken = {"left": 1}

    def fail(purpose: str) -> None:
        if purpose == "claim" and broken["left"]:
            broken["left"] -= 1
            raise Unreachable("cut")

    rig.board.fail = fail
    rig.tick.run()
    assert rig.store.runs(task=task)[0].state is RunState.CLAIMING
    rig.ends_as(task, Status.COMPLETED)
    assert len(rig.store.runs(task=task)) == 1


def test_a_stale_look_at_a_task_that_has_ended_starts_nothing(rig: Rig) -> None:
    task = rig.add()
    stale = [rig.board.pages[task]]
    rig.ends_as(task, Status.COMPLETED)
    fresh = rig.board.look
    rig.board.look = lambda: stale  # a query's answer from before the claim
    for _ in range(3):
        rig.tick.run()
    rig.board.look = fresh  # back to the truth
    assert [r.generation for r in rig.store.runs(task=task)] == [1]
    assert rig.status(task) is Status.COMPLETED and CALLS == ["worked"]


def test_a_decision_that_stands_is_said_anew_each_minute(rig: Rig) -> None:
    """Hosts of one store take an older word for that of a host that does not answer any more."""
    rig.concurrency = 0
    task, began = rig.add(), time.time()
    for passed in (0.0, 30.0, 59.0, 61.0, 90.0):
        rig.tick._clock = lambda: began + passed  # noqa: B023
        rig.tick.run()
        said = rig.store.decision(task)
        assert said is not None and said.at == began + (61.0 if passed > 60.0 else 0.0)
