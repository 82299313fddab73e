"""What a run keeps over a cut, an upgrade, a store that is away: arrivals, ends, the engine's own books."""

from __future__ import annotations

import time
from typing import Any

import pytest

from daemon.core.errors import TransientError
from daemon.core.ids import arrival_of, arrival_workflow
from daemon.core.status import RunState, Status
from daemon.engine import durable
from tests.engine.rig import CALLS, GO, Rig


def test_a_waiting_task_is_resumed_once_for_an_arrival(rig: Rig) -> None:
    task = rig.add("wait")
    rig.ends_as(task, Status.WAITING)
    run = rig.store.runs(task=task)[0]
    assert (run.state, run.wait_for) == (RunState.WAITING, "an answer")
    named = arrival_workflow(run.run, "abcdef01")
    for _ in range(3):
        if rig.store.change_run(run.run, only_in=[RunState.WAITING], state=RunState.RUNNING, workflow=named):
            rig.engine.submit(named, run.run, arrival_of(named, run.run))
    page = rig.ends_as(task, Status.COMPLETED)
    assert page.result.startswith("Answered.")
    assert CALLS == ["delivered", "read"]


@pytest.mark.parametrize(("suffix", "said"), [("ab12cd34", "read"), ("cancel", "withdrawn")])
def test_an_arrival_cut_off_before_it_reached_the_engine_is_still_an_arrival(
    rig: Rig, suffix: str, said: str
) -> None:
    """The row said RUNNING and named its workflow; the process died before it was enqueued. The tick that
    repaired it began the handler's first stretch again, and the answer was never read."""
    task = rig.add("wait")
    rig.until(lambda: rig.status(task) is Status.WAITING and not rig.runner.working())
    run = rig.store.runs(task=task)[0]
    named = f"{run.run}.{suffix}"
    rig.store.change_run(run.run, only_in=[RunState.WAITING], state=RunState.RUNNING, workflow=named)
    rig.until(lambda: not rig.store.active_runs())
    read = ["delivered", said]
    assert read == CALLS


def test_a_waiting_task_survives_a_new_host_name(rig: Rig) -> None:
    task = rig.add("wait")
    rig.ends_as(task, Status.WAITING)
    rig.host = "renamed"
    rig.board.set_status(task, Status.CANCELLED)
    rig.until(lambda: not rig.store.active_runs())
    assert CALLS == ["delivered", "withdrawn"]


def cut_off(rig: Rig, task: str, suffix: str) -> Any:
    """The task's run as a death before its workflow ``suffix`` reached the engine leaves it."""
    run = rig.store.runs(task=task)[0]
    row = {"state": RunState.RUNNING, "workflow": f"{run.run}.{suffix}", "ended": None}
    rig.store.change_run(run.run, **row)
    return run


def test_an_end_that_the_page_has_already_stands_when_an_upgrade_changed_the_steps(rig: Rig) -> None:
    """The old code had written Completed and died before it closed the row: nothing is done again."""
    task = rig.add()
    before = rig.ends_as(task, Status.COMPLETED)
    run = cut_off(rig, task, "changed")
    rig.until(lambda: not rig.store.active_runs())
    rig.tick.run()
    assert rig.board.pages[task] == before
    assert [(r.run, r.state) for r in rig.store.runs(task=task)] == [(run.run, RunState.COMPLETED)]
    assert CALLS == ["worked"]


@pytest.mark.parametrize("how", ["cancelled", "gone"])
@pytest.mark.parametrize("workflow", ["", "ERROR"])
def test_what_nobody_works_on_is_withdrawn_when_its_page_moved_on(rig: Rig, workflow: str, how: str) -> None:
    """The daemon died between the claim and the engine, or the engine gave the workflow up, and then a person
    took the task back: the row stayed open for ever, and with it a place."""
    task = rig.add("child")
    submit, rig.tick._runs.submit = rig.tick._runs.submit, lambda *a: None  # type: ignore[method-assign]
    rig.tick.run()
    rig.tick._runs.submit = submit  # type: ignore[method-assign]
    (run,) = rig.store.active_runs()
    assert run.state is RunState.RUNNING
    state = rig.tick._runs.state
    rig.tick._runs.state = (  # type: ignore[method-assign]
        lambda w: workflow if w == run.run else state(w)
    )
    if how == "gone":
        del rig.board.pages[task]
    else:
        rig.board.set_status(task, Status.CANCELLED)
    rig.until(lambda: not rig.store.active_runs())
    assert rig.store.runs(task=task)[0].state is RunState.CANCELLED
    assert CALLS == ["withdrawn"], "the handler took back, and did nothing else"
    if how == "cancelled":
        assert rig.status(task) is Status.CANCELLED


def test_what_the_engine_gave_up_is_closed_though_its_page_is_gone(rig: Rig) -> None:
    task = rig.add()
    rig.ends_as(task, Status.COMPLETED)
    run = cut_off(rig, task, "cancel")
    state = rig.tick._runs.state
    rig.tick._runs.state = lambda w: "ERROR" if w.endswith(".cancel") else state(w)  # type: ignore[method-assign]
    del rig.board.pages[task]
    rig.tick.run()
    assert rig.store.run(run.run).state is RunState.FAILED  # type: ignore[union-attr]


@pytest.mark.parametrize("ahead", [0.0, 3600.0])
def test_a_retry_does_not_wait_for_a_clock_that_was_ahead(rig: Rig, ahead: float) -> None:
    """Its end and its next time were taken from that clock; nobody can say how long ago it was."""
    task = rig.add("retry")
    rig.until(lambda: rig.store.runs(task=task) != [])
    rig.until(lambda: not rig.store.active_runs())
    run, now = rig.store.runs(task=task)[0], time.time()
    rig.store.change_run(run.run, ended=now + ahead, retry_at=now + ahead + 600.0)
    rig.tick.run()
    decision = rig.tick.snapshot.decisions[task]
    assert decision.gate == ("" if ahead else "backoff")


def test_the_engines_own_queue_is_left_alone_and_ours_is_looked_into(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle daemon pays for one queue, not for two, nor for delays and time limits that no run has."""
    from dbos._sys_db import SystemDatabase

    asked: list[str] = []
    swept: list[float] = []
    sweep = SystemDatabase.transition_delayed_workflows
    monkeypatch.setattr(
        SystemDatabase, "transition_delayed_workflows", lambda self: (swept.append(1.0), sweep(self))[1]
    )
    look = SystemDatabase.start_queued_workflows

    def counted(self: Any, queue: Any, *rest: Any, **more: Any) -> Any:
        asked.append(queue.name)
        return look(self, queue, *rest, **more)

    monkeypatch.setattr(SystemDatabase, "start_queued_workflows", counted)
    end = time.monotonic() + 30.0
    while asked.count("handoffd.host1") < 40:  # at 0.05 s: well over the second that was DBOS's own
        assert time.monotonic() < end
        time.sleep(0.05)
    assert set(asked) == {"handoffd.host1"}
    assert len(swept) <= 1, "over more than two seconds"


def test_a_store_that_can_not_be_written_is_said_once_and_stops_no_tick(rig: Rig) -> None:
    task = rig.add()
    begin, rig.store.begin_run = rig.store.begin_run, away  # type: ignore[method-assign]
    record, rig.store.record_decisions = rig.store.record_decisions, away  # type: ignore[method-assign]
    for _ in range(3):
        assert "the disk is full" in rig.tick.run().store_error
    rig.store.begin_run, rig.store.record_decisions = begin, record  # type: ignore[method-assign]
    assert rig.tick.run().store_error == ""
    assert [line[:2] for line in rig.log.lines].count(("error", "store.failed")) == 1
    rig.ends_as(task, Status.COMPLETED)
    assert "store.back" in [e.name for e in rig.store.events()]


def away(*_: Any, **__: Any) -> Any:
    raise TransientError("the disk is full")


def test_a_run_waits_for_a_store_that_is_away_and_goes_on_where_it_stands(rig: Rig) -> None:
    """It failed its attempt, could not say so either, and was then given up as a bug of the daemon's."""
    rig.store.step_ended, real = away, rig.store.step_ended  # type: ignore[method-assign]
    task = rig.add()
    rig.until(lambda: bool(rig.runner.store_error))
    assert CALLS == ["worked"] and rig.status(task) is Status.IN_PROGRESS
    rig.store.step_ended = real  # type: ignore[method-assign]
    rig.ends_as(task, Status.COMPLETED)
    assert CALLS == ["worked"] and rig.store.runs(task=task)[0].attempt == 1
    rig.until(lambda: not rig.runner.store_error)


def test_retention_takes_the_workflows_of_arrivals_too(rig: Rig) -> None:
    task = rig.add("wait")
    rig.until(lambda: rig.status(task) is Status.WAITING and not rig.runner.working())
    GO.set()
    run = rig.store.runs(task=task)[0].run
    named = arrival_workflow(run, "ab12cd34")
    rig.store.change_run(run, only_in=[RunState.WAITING], state=RunState.RUNNING, workflow=named)
    rig.ends_as(task, Status.COMPLETED)
    rig.until(lambda: rig.engine.state(named) == rig.engine.state(run) == "SUCCESS")
    rig.engine.forget(rig.store.prune(time.time() + 1.0))
    assert rig.engine.state(run) == rig.engine.state(named) == ""
    assert rig.store.run(run) is not None and rig.store.steps(run) == []


def test_the_engine_looks_often_while_there_is_work_and_seldom_when_there_is_none(rig: Rig) -> None:
    """A look costs CPU time, waiting for one costs the task's; an idle daemon pays neither."""
    engine = rig.engine
    engine._poll = 5.0
    engine.pace()
    assert engine._waiting.polling_interval_sec == durable.HURRY_S, "it has only just been started"
    engine._submitted -= durable.REST_AFTER_S + 1.0
    engine.pace()
    assert engine._waiting.polling_interval_sec == 5.0
    task = rig.add()
    rig.tick.run()
    engine.pace()
    assert engine._waiting.polling_interval_sec == durable.HURRY_S
    rig.ends_as(task, Status.COMPLETED)
