"""Every named scenario holds, and each is found to break when the rule that it is about is taken away."""

from __future__ import annotations

import pytest

from daemon.core.claim import Claim
from daemon.core.evidence import Verdict
from daemon.core.status import Status
from daemon.core.task import Task
from daemon.reconcile import Moved, Reconcile
from daemon.simulate.invariants import InvariantBroken
from daemon.simulate.scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_holds(name: str) -> None:
    world = SCENARIOS[name].build(1)
    assert world.watch.checks["scenario"] >= 1
    assert SCENARIOS[name].says


def test_a_claim_that_is_not_renewed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reconcile, "_beat", lambda self, run, page, policy: None)
    with pytest.raises(InvariantBroken, match="without an owner"):
        SCENARIOS["trace-573-busy-not-dead"].build(1)


def test_success_without_evidence_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.core.effects.verdict", lambda judged: Verdict.SUCCESS)
    with pytest.raises(InvariantBroken, match="unproved is for a person"):
        SCENARIOS["vib-2955-empty-success"].build(1)


def test_taking_tasks_beside_another_store_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.tick.Tick._foreign", lambda self, ready, tasks, now: {})
    with pytest.raises(InvariantBroken, match="another holds the board"):
        SCENARIOS["two-daemons-one-board"].build(1)


def test_acting_on_a_ghost_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that believes the query, and does not look at the page itself, cancels its own runs."""

    def believe(self: Reconcile, run: object, page: Task | None) -> Moved | None:
        return None if page is not None and page.status is not Status.READY else Moved("gone")

    monkeypatch.setattr(Reconcile, "_moved_on", believe)
    with pytest.raises(InvariantBroken):
        SCENARIOS["stale-query"].build(1)


def test_slots_that_are_filled_twice_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = iter(range(10_000))

    def unkeyed(board: object, draft: object, plain: object = None) -> object:
        from dataclasses import replace

        return real(board, replace(draft, source_key=f"schedule:{next(keys)}"))  # type: ignore[type-var, arg-type]  # a Draft

    from daemon.simulate.board import SimulatedBoard

    real = SimulatedBoard.create
    monkeypatch.setattr(SimulatedBoard, "create", unkeyed)
    with pytest.raises(InvariantBroken, match="tasks of 48 slots"):
        SCENARIOS["n8n-28480-same-minute"].build(1)


def test_a_claim_without_the_pages_guard_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from daemon.simulate.board import SimulatedBoard

    def blind(self: SimulatedBoard, task: object, claim: Claim, attempts: int) -> object:
        from dataclasses import replace

        self._call("claim")
        page = self.pages[task.id]  # type: ignore[attr-defined]  # a Task
        return self._put(replace(page, status=Status.IN_PROGRESS, claim=claim, attempts=attempts, why=""))

    monkeypatch.setattr(SimulatedBoard, "claim", blind)
    # The daemon's own second look at the page goes too: either of the two is enough.
    monkeypatch.setattr("daemon.tick.Tick._still_free", lambda *said: True, raising=False)
    with pytest.raises(InvariantBroken, match="only Ready is dispatched"):
        SCENARIOS["stale-query"].build(1)
