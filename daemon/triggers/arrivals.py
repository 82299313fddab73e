"""Waiting tasks: has anything arrived? The handler looks; what is new is resumed durably, once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from daemon.core.errors import HandoffdError
from daemon.core.ids import arrival_of, arrival_workflow
from daemon.core.status import RunState
from daemon.core.task import Task
from daemon.engine.registry import Registry, parse_parameters, typed_parameters
from daemon.sdk import Log
from daemon.store import Run, Store

DEFAULT_LOOK_S = 5.0


class Engine(Protocol):
    """What is asked of the engine."""

    def submit(self, workflow: str, run: str, arrival: str = "") -> None:
        """Enqueue; idempotent by workflow id."""

    def state(self, workflow: str) -> str:
        """ "" when the engine does not know it."""


class Arrivals:
    """Asks the handlers of waiting runs. ``context``: (run) → a Context to look with."""

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        registry: Registry,
        context: Callable[[Run], Any],
        mine: Callable[[str], bool],
        clock: Callable[[], float],
        log: Log,
    ) -> None:
        self._store = store
        self._engine = engine
        self._registry = registry
        self._context = context
        self._mine = mine
        self._clock = clock
        self._log = log
        self._looked: dict[str, float] = {}

    def look(self) -> int:
        """Resume every waiting run of this host for which something new is there. Returns how many."""
        resumed = 0
        now = self._clock()
        waiting = [r for r in self._store.active_runs() if r.state is RunState.WAITING and self._mine(r.host)]
        self._looked = {r.run: self._looked.get(r.run, 0.0) for r in waiting}
        for run in waiting:
            # Below zero: the clock was put back since.
            if 0.0 <= now - self._looked[run.run] < (run.look_again or DEFAULT_LOOK_S):
                continue
            self._looked[run.run] = now
            try:
                resumed += self._one(run)
            # A handler's look may raise anything; the other waiting tasks must not starve of it.
            except Exception as error:  # noqa: BLE001
                text = error.one_line() if isinstance(error, HandoffdError) else str(error)
                self._log.warning(
                    "arrival.look_failed", run_id=run.run, error=text, error_type=type(error).__name__
                )
        return resumed

    def _one(self, run: Run) -> int:
        registered = self._registry.get(run.handler)
        if registered is None or not hasattr(registered.handler, "arrived"):
            return 0
        handler = registered.handler
        task = msgspec.convert(run.page, Task)
        params = typed_parameters(handler.Params, parse_parameters(task.parameters))
        token = handler.arrived(task, params, self._context(run))
        if token is None:
            return 0
        digest = hashlib.sha256(str(token).encode()).hexdigest()[:16]
        workflow = arrival_workflow(run.run, digest)
        if self._engine.state(workflow) not in ("", "ENQUEUED", "PENDING", "ELSEWHERE"):
            self._log.warning("arrival.repeated", run_id=run.run, arrival=str(token)[:80])
            return 0
        if not self._store.change_run(
            run.run, only_in=[RunState.WAITING], state=RunState.RUNNING, workflow=workflow
        ):
            return 0
        self._engine.submit(workflow, run.run, arrival_of(workflow, run.run))
        self._store.event("task.resumed", task=run.task, run=run.run, arrival=str(token)[:200])
        self._log.info("task.resumed", run_id=run.run, arrival=str(token)[:80])
        return 1
