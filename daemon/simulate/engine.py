"""What stands in for the engine and its threads: the real Runner, carried out in virtual time.

A run is replayed from the top whenever it has waited, exactly as after a restart: finished steps come from
the journal, the one that waited goes on. What the journal holds survives the death of the process; nothing
else does.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.core.outcome import Outcome
from daemon.core.task import Task
from daemon.engine.conclusion import Engineering
from daemon.engine.context import Control, RunContext
from daemon.engine.durable import POLL_S
from daemon.engine.registry import Registered
from daemon.engine.runner import Runner
from daemon.simulate.agenda import Agenda
from daemon.store import Run

PAGE_WRITE_S = 0.3
"""What a write to the page takes: a usual PATCH (research/notion.md)."""


class Suspended(BaseException):
    """The run waits in virtual time. Not an Exception: no handler and no policy may catch it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Killed(BaseException):
    """The process dies here."""


@dataclass(slots=True)
class Flow:
    """One durable workflow. All but ``journal``, ``state`` and ``slept`` is gone when the process dies."""

    workflow: str
    run: str
    arrival: str
    state: str = "ENQUEUED"
    journal: dict[str, Any] = field(default_factory=dict)
    slept: int = 0
    began: float | None = None
    paid: set[str] = field(default_factory=set)
    naps: Counter[str] = field(default_factory=Counter)
    wakes: int = 0
    """Counts plans to wake up: only the last one stands."""
    in_sleep: bool = False
    cancel: str = ""
    again: bool = False


class VirtualEngine:
    """``submit``, ``state``, ``cancel`` and ``working`` of a daemon; one per store, over all boots."""

    def __init__(self, agenda: Agenda, rng: random.Random, *, guard: Callable[[Callable[[], None]], None]):
        """``guard`` calls what it gets as the daemon's own process: it takes care of its death."""
        self._agenda = agenda
        self._rng = rng
        self._guard = guard
        self.runner: VirtualRunner | None = None
        self.flows: dict[str, Flow] = {}
        self.on_step: Callable[[], None] = lambda: None
        self.steps = 0
        self._live: dict[str, Flow] = {}
        self._charge = 0.0
        self._sleeps = 0
        self._naps = 0
        self._current: Flow | None = None
        self._label = ""
        self._entering = False

    # ── what the tick asks ────────────────────────────────────────────────────────────────────────

    def submit(self, workflow: str, run: str, arrival: str = "") -> None:
        if workflow in self.flows:
            return
        flow = self.flows[workflow] = Flow(workflow, run, arrival)
        self._wake(flow, self._rng.uniform(0.0, POLL_S))

    def state(self, workflow: str) -> str:
        flow = self.flows.get(workflow)
        return flow.state if flow else ""

    def adopt(self, workflow: str) -> None:
        """Nothing is ever elsewhere here: each simulated host has an engine of its own."""
        raise AssertionError(f"{workflow} can't be elsewhere")

    def abandon(self, workflow: str) -> None:
        """See ``adopt``."""
        raise AssertionError(f"{workflow} can't be elsewhere")

    def cancel(self, run: str, reason: str, *, again: bool = False) -> bool:
        flow = self._live.get(run)
        if flow is None or flow.cancel:
            return False
        flow.cancel, flow.again = reason, again
        if not flow.in_sleep:
            self._wake(flow, 0.0)
        return True

    def stop_stalled(self, run: str, limit: float) -> str:
        """Nothing: a plan that hangs ends at its handler's time limit."""
        return ""

    def working(self) -> Sequence[str]:
        return sorted(self._live)

    def forget(self, runs: Sequence[str]) -> None:
        """Drop what is left of these runs."""
        for run in runs:
            self.flows.pop(run, None)

    # ── the process ───────────────────────────────────────────────────────────────────────────────

    def died(self) -> None:
        """The process is gone: nobody works, nothing wakes up."""
        self._live.clear()
        self._current = None
        for flow in self.flows.values():
            if flow.state in ("ENQUEUED", "PENDING"):
                flow.wakes += 1
                flow.paid.clear()
                flow.naps.clear()
                flow.began, flow.in_sleep, flow.cancel = None, False, ""

    def recover(self) -> None:
        """A new process: whatever is not finished goes on."""
        for flow in self.flows.values():
            if flow.state in ("ENQUEUED", "PENDING"):
                self._wake(flow, self._rng.uniform(0.0, POLL_S))

    def _wake(self, flow: Flow, seconds: float) -> None:
        flow.wakes += 1
        mine = flow.wakes

        def awake() -> None:
            if flow.wakes == mine:
                self._guard(lambda: self._go_on(flow))

        self._agenda.after(seconds, awake)

    def _go_on(self, flow: Flow) -> None:
        assert self.runner is not None  # noqa: S101 - a host sets it before its first tick
        flow.state = "PENDING"
        flow.in_sleep = False
        if flow.began is None:
            flow.began = self._agenda.now
        self._live[flow.run] = flow
        self._current, self._sleeps, self._charge, self._entering = flow, 0, 0.0, True
        try:
            self.runner.execute(flow.run, flow.arrival, Engineering(step=self._step, sleep=self._sleep))
        except Suspended as wait:
            self._wake(flow, wait.seconds)
            return
        # The engine marks what a workflow lets out as ERROR; the tick then gives the run up.
        except Exception:  # noqa: BLE001
            flow.state = "ERROR"
        else:
            flow.state = "SUCCESS"
            flow.journal.clear()
        finally:
            self._current = None
        self._live.pop(flow.run, None)
        self.runner.ended(flow.run)

    # ── what a run in virtual time asks ───────────────────────────────────────────────────────────

    def monotonic(self) -> float:
        """For the runner's deadline: a run that has waited keeps the one of its first start."""
        flow, entering = self._current, self._entering
        self._entering = False
        return flow.began if entering and flow and flow.began is not None else self._agenda.now

    def takes(self, seconds: float) -> None:
        """The next step takes so long."""
        self._charge = seconds

    def _step(self, label: str, fn: Callable[[], Any]) -> Any:
        flow, charge, self._charge = self._flow(), self._charge, 0.0
        if label in flow.journal:
            return flow.journal[label]
        if label.startswith("page: "):
            charge = PAGE_WRITE_S
        if charge and label not in flow.paid:
            flow.paid.add(label)
            raise Suspended(charge)
        if flow.cancel and self.runner is not None:
            self.runner.cancel(flow.run, flow.cancel, again=flow.again)
        self._label, self._naps = label, 0
        value = fn()
        self.on_step()
        flow.journal[label] = value
        self.steps += 1
        self.on_step()
        return value

    def _sleep(self, seconds: float) -> None:
        """The engine's durable sleep: not cut short by a cancel."""
        flow = self._flow()
        self._sleeps += 1
        if self._sleeps > flow.slept:
            flow.slept, flow.in_sleep = self._sleeps, True
            raise Suspended(seconds)

    def nap(self, seconds: float) -> None:
        """A wait inside a step: between the tries of one that failed."""
        flow = self._flow()
        self._naps += 1
        if self._naps > flow.naps[self._label]:
            flow.naps[self._label] = self._naps
            raise Suspended(seconds)

    def _flow(self) -> Flow:
        assert self._current is not None  # noqa: S101 - steps happen in _go_on only
        return self._current


class VirtualStop(threading.Event):
    """The stop event of a run: waiting for it takes virtual time."""

    def __init__(self, engine: VirtualEngine) -> None:
        super().__init__()
        self._engine = engine

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set() and timeout:
            self._engine.nap(timeout)
        return self.is_set()


class VirtualRunner(Runner):
    """The Runner, with waits in virtual time. ``ended`` is called when a run has ended or waits."""

    def __init__(self, engine: VirtualEngine, ended: Callable[[str], None], **parts: Any) -> None:
        super().__init__(**parts)
        self._engine = engine
        self.ended = ended

    def _stands(self, run: Run, control: Control, engine: Engineering) -> Run | None:
        self._in_virtual_time(control)
        return super()._stands(run, control, engine)

    def _in_virtual_time(self, control: Control) -> None:
        stop = VirtualStop(self._engine)
        if control.stop.is_set():
            stop.set()
        control.stop = stop

    def _outcome(self, registered: Registered | None, task: Task, ctx: RunContext, arrival: str) -> Outcome:
        self._in_virtual_time(self._controls[ctx.run.id])
        return super()._outcome(registered, task, ctx, arrival)
