"""Tick, engine and runner together on a board in memory: one task's way from Ready to a proved end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest

from daemon.core.backoff import Backoff
from daemon.core.errors import PermanentError, TransientError, Unreachable
from daemon.core.evidence import GateResult
from daemon.core.gates import Call
from daemon.core.ids import arrival_of, arrival_workflow
from daemon.core.ports import Bundle, Rendered
from daemon.core.status import RunState, Status
from daemon.core.task import Draft, Task
from daemon.engine import durable
from daemon.engine.conclusion import Engineering
from daemon.engine.context import Means
from daemon.engine.durable import Engine
from daemon.engine.registry import Registry
from daemon.engine.runner import Runner
from daemon.reconcile import Policy
from daemon.reports.compare import baseline_from
from daemon.reports.gaps import find
from daemon.sdk import Blocked, Delivered, Done, Gate, Outcome, Retry, Snooze, handler
from daemon.store import Store, open_engine
from daemon.testing import MemoryBoard, QuietLog
from daemon.tick import Tick

CALLS: list[str] = []
GO = threading.Event()


@dataclass(frozen=True)
class Params:
    do: str = "prove"
    n: int = 1


def note(text: str) -> str:
    CALLS.append(text)
    return text


def fail_with(kind: str) -> None:
    CALLS.append(kind)
    raise {
        "transient": TransientError("the host is busy", retry_after=0.2),
        "permanent": PermanentError("404 at the source", hint="check the URL"),
        "bug": ZeroDivisionError("oops"),
    }[kind]


def wait_for_go(ctx: Any) -> str:
    while not ctx.cancelled and not GO.is_set():
        time.sleep(0.01)
    return "went"


def sleep_stubbornly(ctx: Any) -> str:
    """A child that ignores SIGTERM, with a child of its own; their ids are written down."""
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "print(os.getpid(), inner.pid, flush=True)\n"
        "time.sleep(300)"
    )
    return ctx.child([sys.executable, "-c", code], timeout=300, on_line=CALLS.append).ended


def compute(seconds: float) -> int:
    """Use a little CPU time of this thread again and again."""
    end, total = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        total += sum(range(200_000))
        time.sleep(0.03)
    return total


@handler
class Probe:
    name: ClassVar[str] = "probe"
    Params = Params
    gates = (
        Gate(name="proved", title="It is proved"),
        Gate(name="extra", title="Maybe", required=False),
        Gate(name="later", title="The app has it"),
    )
    time_limit = 20.0

    def run(self, task: Task, params: Params, ctx: Any) -> Outcome:
        if params.do != "partly":
            ctx.skip_gate("later")
        match params.do:
            case "partly":
                ctx.evidence("proved", "check", "x", True)
                ctx.evidence("later", "query", "app", ctx.step("ask", GO.is_set))
                return Done(summary="It is there.", awaits=("later",), again=0.05)
            case "prove":
                text = ctx.step("work", note, "worked")
                ctx.evidence("proved", "check", text, True)
                return Done(summary="It worked.")
            case "claim only":
                return Done(summary="Trust me.")
            case "disprove":
                ctx.evidence("proved", "check", "x", False)
                return Done(summary="Looks fine.")
            case "snooze":
                return Snooze(reason="later", after=0.1)
            case "block":
                return Blocked(reason="no key", unblock="add the key")
            case "wait":
                ctx.step("deliver", note, "delivered")
                return Delivered(wait_for="an answer", summary="Sent.")
            case "follow up":
                for _ in range(2):
                    ctx.follow_up("gap-1", Draft(title="Fix the gap", status=Status.DRAFT))
                ctx.evidence("proved", "check", "x", True)
                return Done(summary="Made one.")
            case "hold":
                ctx.step("hold", wait_for_go, ctx)
                ctx.step("after", note, "after")
                ctx.evidence("proved", "check", "x", True)
                return Done(summary="Held.")
            case "child":
                ctx.step("child", sleep_stubbornly, ctx)
                return Done(summary="It ended by itself.")
            case "busy":
                ctx.step("busy", compute, 4.0)
                ctx.evidence("proved", "check", "x", True)
                return Done(summary="Computed.")
            case "breed":
                ctx.follow_up(
                    f"after {task.id}", Draft(title="More", handler="probe", parameters="do = 'breed'")
                )
                ctx.evidence("proved", "check", "x", True)
                return Done(summary="Made one.")
            case "last":
                if not ctx.run.last:
                    return Retry(reason=f"not yet {ctx.run.attempt} of {ctx.run.attempts}", after=0.05)
                ctx.evidence("proved", "check", "settled for less", True)
                return Done(summary="Settled for less.")
            case "retry":
                return Retry(reason="not yet", after=0.05)
        ctx.step("fail", fail_with, params.do)
        raise AssertionError("unreachable")

    def arrived(self, task: Task, params: Params, ctx: Any) -> str | None:
        return "answer" if GO.is_set() else None

    def resume(self, task: Task, params: Params, ctx: Any) -> Outcome:
        ctx.skip_gate("later")
        ctx.step("deliver", note, "read")  # the same name as in run(): another step all the same
        ctx.evidence("proved", "check", "answer", True)
        return Done(summary="Answered.")

    def cancel(self, task: Task, params: Params, ctx: Any) -> None:
        ctx.step("withdraw", note, "withdrawn")


class Files:
    """Reports as one small file each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bundles: list[Bundle] = []
        self.broken = False

    def render(self, bundle: Bundle) -> Rendered:
        if self.broken:
            raise ValueError("template")
        self.bundles.append(bundle)
        folder = self.root / bundle.run
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "report.md"
        path.write_text(bundle.summary)
        return Rendered(
            folder=folder, markdown=path, html=path, evidence=path, section=bundle.summary, link=str(path)
        )


class Rig:
    def __init__(self, home: Path) -> None:
        self.board = MemoryBoard(time.time)
        self.database = open_engine(f"sqlite:///{home / 'state.db'}")
        self.store = Store(self.database, time.time, "store1")
        self.files = Files(home / "reports")
        self.log = QuietLog()
        self.gaps: Callable[[Bundle], list[Draft]] = lambda bundle: []
        point = EntryPoint(name="probe", value=f"{__name__}:Probe", group="handoffd.handlers")
        self.registry = Registry([point])
        # Under importmode=importlib the module can't be imported again by its name.
        self.registry._handlers["probe"] = self.registry._handlers.get("probe") or _registered()
        self.registry.records[:] = [_record()]
        means = Means(
            store=self.store,
            board=self.board,
            home=home,
            work=home / "work",
            clock=time.time,
            monotonic=time.monotonic,
            secret=lambda name: None,
            draining=threading.Event(),
        )
        self.runner = Runner(
            means=means,
            registry=self.registry,
            sections=lambda name: None,
            reports=self.files,
            backoff=lambda: Backoff(first=0.05, ceiling=0.1),
            version="test",
            log=self.log,
            bind=lambda **fields: nullcontext(),
            gaps=lambda bundle: self.gaps(bundle),
        )
        self.engine = Engine(
            database=self.database, runner=self.runner, executor="host1", poll=0.05, listen=0.1
        )
        self.concurrency = 2
        self.host = "h"
        self.stall = 0.0
        self.interval = 0.1
        self.tick = Tick(
            board=self.board,
            store=self.store,
            runs=Both(self.engine, self.runner),
            handlers=self.registry,
            policy=lambda: Policy(
                host=self.host,
                concurrency=self.concurrency,
                lease=900,
                interval=self.interval,
                alone=True,
                stall=self.stall,
            ),
            clock=time.time,
            log=self.log,
        )

    def add(self, do: str = "prove", **fields: Any) -> str:
        draft = Draft(title=fields.pop("title", do), handler="probe", parameters=f"do = {do!r}", **fields)
        return self.board.create(draft).id

    def until(self, done: Callable[[], bool], within: float = 20.0) -> None:
        end = time.monotonic() + within
        while not done():
            assert time.monotonic() < end, (self.board.pages, self.log.lines[-5:])
            self.tick.run()
            time.sleep(0.03)

    def status(self, task: str) -> Status | None:
        return self.board.pages[task].status

    def ends_as(self, task: str, status: Status) -> Task:
        self.until(lambda: self.status(task) is status)
        self.until(lambda: not [r for r in self.store.active_runs() if r.state is not RunState.WAITING])
        return self.board.pages[task]


class Both:
    def __init__(self, engine: Engine, runner: Runner) -> None:
        self.submit, self.state = engine.submit, engine.state
        self.adopt, self.abandon = engine.adopt, engine.abandon
        self.cancel, self.working = runner.cancel, runner.working
        self.stop_stalled = runner.stop_stalled


def _registered() -> Any:
    from daemon.engine.registry import Registered

    return Registered(name="probe", handler=Probe(), dist="tests", version="0")


def _record() -> Any:
    from daemon.core.snapshot import HandlerRecord

    return HandlerRecord(name="probe", state="loaded", dist="tests", version="0")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    CALLS.clear()
    GO.clear()
    made = Rig(tmp_path)
    made.engine.start()
    yield made
    GO.set()
    made.engine.drain(5)
    made.engine.stop()
    made.database.dispose()


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


def test_cancel_while_waiting_withdraws(rig: Rig) -> None:
    task = rig.add("wait")
    rig.ends_as(task, Status.WAITING)
    rig.board.set_status(task, Status.CANCELLED)
    rig.until(lambda: not rig.store.active_runs())
    assert CALLS == ["delivered", "withdrawn"]
    assert rig.status(task) is Status.CANCELLED


def test_a_follow_up_is_created_once(rig: Rig) -> None:
    task = rig.add("follow up")
    rig.ends_as(task, Status.COMPLETED)
    assert [t.title for t in rig.board.pages.values() if t.source_key == "gap-1"] == ["Fix the gap"]
    assert rig.files.bundles[-1].follow_ups[0]["title"] == "Fix the gap"


def test_without_its_report_a_task_is_not_completed(rig: Rig) -> None:
    rig.files.broken = True
    page = rig.ends_as(rig.add(), Status.REVIEW)
    assert "report could not be written" in page.why


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


def test_a_waiting_task_survives_a_new_host_name(rig: Rig) -> None:
    task = rig.add("wait")
    rig.ends_as(task, Status.WAITING)
    rig.host = "renamed"
    rig.board.set_status(task, Status.CANCELLED)
    rig.until(lambda: not rig.store.active_runs())
    assert CALLS == ["delivered", "withdrawn"]


def test_a_clock_that_jumps_back_does_not_make_evidence_old(rig: Rig) -> None:
    from daemon.engine.context import Means

    real = rig.runner._means
    behind = {f: getattr(real, f) for f in Means.__dataclass_fields__} | {"clock": lambda: time.time() - 3600}
    rig.runner._means = Means(**behind)
    assert rig.ends_as(rig.add(), Status.COMPLETED).why == ""


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


def test_a_decision_that_stands_is_said_anew_each_minute(rig: Rig) -> None:
    """Hosts of one store take an older word for that of a host that does not answer any more."""
    rig.concurrency = 0
    task, began = rig.add(), time.time()
    for passed in (0.0, 30.0, 59.0, 61.0, 90.0):
        rig.tick._clock = lambda: began + passed  # noqa: B023
        rig.tick.run()
        said = rig.store.decision(task)
        assert said is not None and said.at == began + (61.0 if passed > 60.0 else 0.0)


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
