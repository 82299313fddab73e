"""One task's way from Ready to a proved end: tick, engine and runner together on a board in memory."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from daemon.core.errors import Unreachable
from daemon.core.evidence import GateResult
from daemon.core.status import RunState, Status
from daemon.engine.conclusion import Engineering
from daemon.engine.context import Means
from daemon.reports.compare import baseline_from
from daemon.reports.gaps import find
from tests.engine.rig import CALLS, GO, Rig


def test_ready_becomes_completed_with_proof(rig: Rig) -> None:
    task = rig.add()
    page = rig.ends_as(task, Status.COMPLETED)
    run = rig.store.runs(task=task)[0]
    assert (run.run, run.state, run.verdict) == (f"{task}.g1", RunState.COMPLETED, "Success")
    assert page.result == "It worked. 1 of 1 required gates passed."
    assert page.why == "" and page.claim is not None and page.claim.lease_until_ms == 0
    assert Path(page.report).read_text() == page.result == rig.board.sections[task]
    assert CALLS == ["worked"]
    gates = {g.name: g.result for g in rig.store.gates(run.run)}
    skipped = {"later": GateResult.NOT_APPLICABLE}
    assert gates == {"proved": GateResult.PASSED, "extra": GateResult.UNKNOWN} | skipped
    assert [s for _, s in rig.board.history] == ["Ready", "In Progress", "Completed"]
    calls = rig.board.calls()
    assert calls["claim"] == 1 and calls["write"] == 1


def test_done_without_evidence_is_never_completed(rig: Rig) -> None:
    page = rig.ends_as(rig.add("claim only"), Status.REVIEW)
    assert "proved (unknown: no evidence from this run)" in page.why


def test_a_failed_gate_fails_the_task(rig: Rig) -> None:
    page = rig.ends_as(rig.add("disprove"), Status.FAILED)
    assert "failed for x" in page.why


def test_a_permanent_error_fails_at_once_and_says_why(rig: Rig) -> None:
    page = rig.ends_as(rig.add("permanent"), Status.FAILED)
    assert page.why == "404 at the source → check the URL"
    assert CALLS == ["permanent"]


def test_transient_errors_are_retried_as_new_attempts_then_parked(rig: Rig) -> None:
    task = rig.add("transient")
    page = rig.ends_as(task, Status.FAILED)
    assert "gave up after 3 attempts: the host is busy" in page.why
    assert [r.attempt for r in rig.store.runs(task=task)] == [3, 2, 1]
    assert page.attempts == 3


def test_an_unclassified_error_is_a_retry_then_failed(rig: Rig) -> None:
    page = rig.ends_as(rig.add("bug"), Status.FAILED)
    assert "ZeroDivisionError: oops" in page.why
    assert len(CALLS) == 3


def test_a_persons_ready_after_an_end_starts_a_new_generation(rig: Rig) -> None:
    task = rig.add("permanent")
    rig.ends_as(task, Status.FAILED)
    rig.board.set_status(task, Status.READY)
    rig.until(lambda: len(rig.store.runs(task=task)) == 2)
    rig.ends_as(task, Status.FAILED)
    newest = rig.store.runs(task=task)[0]
    assert (newest.generation, newest.attempt) == (2, 1)


def test_a_snooze_uses_up_no_attempt(rig: Rig) -> None:
    task = rig.add("snooze")
    rig.until(lambda: len(rig.store.runs(task=task)) >= 5)
    assert {r.attempt for r in rig.store.runs(task=task)} == {1}


def test_what_is_proved_but_for_what_it_awaits_is_partial_and_looked_at_again(rig: Rig) -> None:
    task = rig.add("partly")
    rig.until(lambda: len(rig.store.runs(task=task)) >= 3)
    first = rig.store.runs(task=task)[-1]
    assert (first.state, first.verdict) == (RunState.RETRYING, "Partial")
    assert "later not proved yet" in first.why
    assert any(b.run == first.run and b.outcome == "done" for b in rig.files.bundles), "it has its report"
    assert rig.board.pages[task].result.startswith("It is there. Partial")
    GO.set()
    assert rig.ends_as(task, Status.COMPLETED).why == ""
    assert {r.attempt for r in rig.store.runs(task=task)} == {1}


def test_RP_7_a_gap_becomes_one_task_however_often_it_is_seen(rig: Rig) -> None:
    rig.gaps = lambda bundle: [g.draft() for g in find(bundle, baseline_from([]))]
    tasks = [rig.add("claim only") for _ in range(3)]
    for task in tasks:
        rig.ends_as(task, Status.REVIEW)
    drafts = [p for p in rig.board.pages.values() if p.status is Status.DRAFT]
    assert [d.title for d in drafts] == ["probe does not measure its gate proved"]
    assert drafts[0].source_key.startswith("gap:gate-unmeasured:")
    named = [b for b in rig.files.bundles if b.follow_ups]
    assert len(named) == 1 and named[0].follow_ups[0]["task"] == drafts[0].id


def test_a_gap_that_can_not_be_told_holds_back_nothing(rig: Rig) -> None:
    rig.gaps = lambda bundle: [g.draft() for g in find(bundle, baseline_from([]))]
    task = rig.add("claim only")

    def fail(purpose: str) -> None:
        if purpose == "create":
            raise Unreachable("the board is away")

    rig.board.fail = fail
    rig.ends_as(task, Status.REVIEW)
    assert any(line[1] == "gap.not_made" for line in rig.log.lines)


def test_blocked_says_what_a_person_has_to_do(rig: Rig) -> None:
    assert rig.ends_as(rig.add("block"), Status.BLOCKED).why == "no key → add the key, then set Ready again"


def test_an_end_cut_off_after_its_row_is_carried_to_its_end(rig: Rig) -> None:
    """The row said completed and the process died: work folder, log line and `why` were left undone."""
    real, died = rig.store.change_run, threading.Event()

    def dies_after_the_end(run: str, **fields: Any) -> bool:
        changed = real(run, **fields)
        if fields.get("state") is RunState.COMPLETED and not died.is_set():
            died.set()
            raise SystemExit  # the thread ends here, as a process would: the step is not kept
        return changed

    rig.store.change_run = dies_after_the_end  # type: ignore[method-assign]
    task = rig.add()
    rig.until(lambda: died.is_set() and not rig.runner.working())
    run = rig.store.runs(task=task)[0]
    assert run.state is RunState.COMPLETED
    engineering = Engineering(step=lambda name, fn: fn(), sleep=time.sleep)
    assert rig.runner.execute(run.run, "", engineering) == "completed"
    assert {s.state for s in rig.store.steps(run.run)} == {"done"}
    assert [e.name for e in rig.store.events(run=run.run)].count("task.finished") == 1
    assert rig.store.decision(task).gate == "completed"  # type: ignore[union-attr]


def test_a_follow_up_is_created_once(rig: Rig) -> None:
    task = rig.add("follow up")
    rig.ends_as(task, Status.COMPLETED)
    assert [t.title for t in rig.board.pages.values() if t.source_key == "gap-1"] == ["Fix the gap"]
    assert rig.files.bundles[-1].follow_ups[0]["title"] == "Fix the gap"


def test_without_its_report_a_task_is_not_completed(rig: Rig) -> None:
    rig.files.broken = True
    page = rig.ends_as(rig.add(), Status.REVIEW)
    assert "report could not be written" in page.why


def test_a_clock_that_jumps_back_does_not_make_evidence_old(rig: Rig) -> None:

    real = rig.runner._means
    behind = {f: getattr(real, f) for f in Means.__dataclass_fields__} | {"clock": lambda: time.time() - 3600}
    rig.runner._means = Means(**behind)
    assert rig.ends_as(rig.add(), Status.COMPLETED).why == ""


def test_the_last_attempt_knows_that_it_is_the_last(rig: Rig) -> None:
    task = rig.add("last")
    assert rig.ends_as(task, Status.COMPLETED).result.startswith("Settled for less.")
    said = [r.why for r in rig.store.runs(task=task)]
    assert "not yet 2 of 3" in said[1] and "not yet 1 of 3" in said[2]


def test_a_chain_of_follow_ups_that_feeds_itself_is_cut_with_the_reason_on_the_page(rig: Rig) -> None:
    rig.add("breed")

    def cut() -> bool:
        return any(p.status is Status.BLOCKED for p in rig.board.pages.values())

    rig.until(cut, 60.0)
    rig.until(lambda: not rig.store.active_runs())
    pages = list(rig.board.pages.values())
    assert [p.status for p in pages].count(Status.COMPLETED) == 3 and len(pages) == 4
    blocked = next(p for p in pages if p.status is Status.BLOCKED)
    assert "follow-ups of follow-ups end here" in blocked.why and "run.follow_up_depth" in blocked.why
