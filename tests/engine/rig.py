"""A daemon's tick, engine and runner on a board in memory, and a handler that does as its task says."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

from daemon.core.backoff import Backoff
from daemon.core.errors import PermanentError, TransientError
from daemon.core.ports import Bundle, Rendered
from daemon.core.status import RunState, Status
from daemon.core.task import Draft, Task
from daemon.engine.context import Means
from daemon.engine.durable import Engine
from daemon.engine.registry import Registry
from daemon.engine.runner import Runner
from daemon.reconcile import Policy
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
