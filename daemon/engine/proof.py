"""The read-back of a claim on a board that daemons share without a store: wait, read, run if it stands.

It is the first step of the run, so that it holds up neither the tick nor another claim. A crash in it does
the whole wait again; the claim was on the page in time, so a later read-back is as good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from daemon.core import claim as claims
from daemon.core.errors import Fenced, HandoffdError, NotFound
from daemon.core.ports import PageWrite
from daemon.core.status import RunState, Status
from daemon.core.task import Task
from daemon.engine.conclusion import KEEP_TRYING_S, Engineering
from daemon.engine.context import Control, Means
from daemon.sdk import Log
from daemon.store import Run


class Proof:
    """One claim's read-back. ``verify`` None (the mode was changed meanwhile) means: no wait, but a look."""

    def __init__(
        self,
        means: Means,
        run: Run,
        verify: Callable[[], claims.Verify | None],
        control: Control,
        engine: Engineering,
        log: Log,
    ) -> None:
        self._means = means
        self._run = run
        self._verify = verify
        self._control = control
        self._engine = engine
        self._log = log

    def read_back(self) -> Run | None:
        """The run as it begins, or None when its claim did not stand and it was given back."""
        tries = 0
        while True:
            label = "claim" if tries == 0 else f"claim (try {tries + 1})"
            said = self._engine.step(label, self._step)
            if said["fate"] == "stands":
                run = self._means.store.run(self._run.run)
                return None if run is None or run.state is RunState.RELEASED else run
            if said["fate"] == "lost":
                return None
            self._engine.sleep(KEEP_TRYING_S[min(tries, len(KEEP_TRYING_S) - 1)])
            tries += 1

    def _step(self) -> dict[str, Any]:
        verify = self._verify()
        if verify is not None and self._control.stop.wait(verify.settle):
            return self._lost(self._control.reason)
        try:
            page = self._means.board.get(self._run.task)
            wrong = self._objection(page)
        except NotFound as error:
            return self._lost(error.one_line())
        except HandoffdError as error:
            self._log.warning("board.read_back_waits", error=error.one_line())
            return {"fate": "later"}
        if wrong:
            return self._lost(wrong)
        began = self._means.store.change_run(
            self._run.run,
            only_in=[RunState.CLAIMING],
            state=RunState.RUNNING,
            page=msgspec.to_builtins(page),
            why="",
        )
        if began:
            self._event("task.claimed", handler=self._run.handler)
            self._log.info("task.claimed", task_id=self._run.task, handler=self._run.handler)
        return {"fate": "stands"}

    def _objection(self, page: Task) -> str:
        """Why the run must not begin, "" = it may. Takes our claim off a page that a person has moved on."""
        held = claims.parse(self._run.claim)
        if held is None or not held.same_hold(page.claim):
            owner = page.claim.owner if page.claim else "nobody"
            return f"another daemon was later and has it: {owner}"
        if page.status is Status.IN_PROGRESS:
            return ""
        try:
            self._means.board.write(self._run.task, held, PageWrite(claim=replace(held, lease_until_ms=0)))
        except Fenced:
            return "it was taken over while a person moved it on"
        return f"its status was set to {page.status_name or 'none'}"

    def _lost(self, why: str) -> dict[str, Any]:
        if self._means.store.change_run(
            self._run.run,
            only_in=[RunState.CLAIMING],
            state=RunState.RELEASED,
            ended=self._means.clock(),
            why=why,
        ):
            self._event("task.released", reason=why)
            self._log.info("task.released", task_id=self._run.task, reason=why)
        return {"fate": "lost"}

    def _event(self, name: str, **data: Any) -> None:
        self._means.store.event(name, task=self._run.task, run=self._run.run, **data)
