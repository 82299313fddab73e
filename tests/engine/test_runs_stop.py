"""A run that is cancelled, reassigned or without a sign of life: stopped, its processes with it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.core.status import RunState, Status
from tests.engine.rig import CALLS, Rig


def test_cancel_on_the_board_stops_the_run_and_keeps_the_persons_status(rig: Rig) -> None:
    task = rig.add("hold")
    rig.until(lambda: rig.runner.working() != [])
    rig.board.set_status(task, Status.CANCELLED)
    began = time.monotonic()
    rig.until(lambda: not rig.store.active_runs())
    assert time.monotonic() - began < 5
    assert rig.status(task) is Status.CANCELLED
    assert "after" not in CALLS
    assert rig.store.runs(task=task)[0].state is RunState.CANCELLED


def test_cancel_while_waiting_withdraws(rig: Rig) -> None:
    task = rig.add("wait")
    rig.ends_as(task, Status.WAITING)
    rig.board.set_status(task, Status.CANCELLED)
    rig.until(lambda: not rig.store.active_runs())
    assert CALLS == ["delivered", "withdrawn"]
    assert rig.status(task) is Status.CANCELLED


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _with_children(rig: Rig, **fields: Any) -> tuple[str, list[int]]:
    """A task whose child and grandchild run, and their process ids."""
    task = rig.add("child", **fields)
    rig.until(lambda: any(c[0].isdigit() for c in CALLS), 30.0)
    return task, [int(pid) for pid in CALLS[-1].split()]


def _stopped_by_watching(rig: Rig, pids: list[int]) -> None:
    """No tick any more, as if the poll interval were a day: only what the clock's watch job calls."""
    end = time.monotonic() + 30
    while any(map(_alive, pids)):
        assert time.monotonic() < end, "the processes outlived the cancel"
        rig.tick.watch()
        time.sleep(0.1)


def test_a_cancelled_task_stops_its_processes_between_two_polls(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.reconcile.SETTLED_S", 0.0)
    task, pids = _with_children(rig)
    assert all(map(_alive, pids))
    rig.board.set_status(task, Status.CANCELLED)
    _stopped_by_watching(rig, pids)
    rig.until(lambda: not rig.store.active_runs())
    assert rig.status(task) is Status.CANCELLED
    assert rig.store.runs(task=task)[0].state is RunState.CANCELLED


def test_the_times_of_a_cancel_add_up_to_less_than_five_seconds() -> None:
    """The watch comes every WATCH_S; a child is asked ten times a second and killed GRACE_S after SIGTERM.
    What is left is for one call to the board."""
    from daemon.engine.child import GRACE_S
    from daemon.parts import WATCH_S

    assert WATCH_S + 0.1 + GRACE_S <= 4.5


def test_a_reassigned_task_stops_and_starts_anew_with_its_new_agent(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.reconcile.SETTLED_S", 0.0)
    task, pids = _with_children(rig, agent="Cursor")
    page = rig.board.pages[task]
    assert page.agents == ("Cursor",)
    rig.board.pages[task] = replace(page, agents=("Codex",), parameters="do = 'prove'")
    _stopped_by_watching(rig, pids)
    rig.ends_as(task, Status.COMPLETED)
    second, first = rig.store.runs(task=task)
    assert (first.state, first.outcome, second.generation) == (RunState.RETRYING, "snooze", 2)
    assert "reassigned from Cursor to Codex" in first.why
    assert second.page["agents"] == ["Codex"] and second.attempt == 1, "no attempt is used up"
    assert "task.reassigned" in [e.name for e in rig.store.events(task=task)]


def test_a_waiting_task_that_is_reassigned_is_withdrawn_and_starts_anew(rig: Rig) -> None:
    task = rig.add("wait", agent="Cursor")
    rig.until(lambda: rig.status(task) is Status.WAITING)
    rig.board.pages[task] = replace(rig.board.pages[task], agents=("Codex",), parameters="do = 'prove'")
    rig.ends_as(task, Status.COMPLETED)
    assert "withdrawn" in CALLS
    assert [r.generation for r in rig.store.runs(task=task)] == [2, 1]


def test_an_agent_whose_name_can_not_be_read_is_no_other_agent(rig: Rig) -> None:
    task = rig.add("wait", agent="Cursor")
    rig.until(lambda: rig.status(task) is Status.WAITING)
    for unreadable in ((), (f"page {'b' * 32}",)):
        rig.board.pages[task] = replace(rig.board.pages[task], agents=unreadable)
        rig.tick.run()
        assert rig.status(task) is Status.WAITING
    assert "withdrawn" not in CALLS


def test_a_run_without_any_sign_of_life_is_stopped_and_says_so(rig: Rig) -> None:
    rig.stall = 2.0
    task = rig.add("child")
    rig.until(lambda: bool(rig.store.runs(task=task, states=[RunState.RETRYING])), 60.0)
    pids = [int(pid) for call in CALLS if call[0].isdigit() for pid in call.split()]
    first = rig.store.runs(task=task)[-1]
    assert "stalled: no step and no progress for" in first.why and "no CPU time of its processes" in first.why
    assert rig.store.marks("probe")[0].fault == "stalled"
    assert not any(map(_alive, pids))
    assert "task.stalled" in [e.name for e in rig.store.events(task=task)]
    rig.board.set_status(task, Status.CANCELLED)
    rig.until(lambda: not rig.store.active_runs(), 60.0)


def test_a_run_whose_thread_works_is_not_stalled_however_quiet(rig: Rig) -> None:
    """No step ends and nothing is said for longer than the limit, but its CPU time grows."""
    rig.stall = 2.0
    task = rig.add("busy")
    rig.until(lambda: rig.status(task) is Status.COMPLETED, 120.0)
    rig.ends_as(task, Status.COMPLETED)
    assert len(rig.store.runs(task=task)) == 1
