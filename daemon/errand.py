"""One handler's work without a task on the board: what ``handoffd music`` does.

The same handler, gates and policy as in the daemon. Steps happen at once and are not kept, so a cut errand is
begun again by hand; the handler's own look-then-act keeps that from doing anything twice.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from daemon.core.errors import ConfigError
from daemon.core.evidence import Judged, judge
from daemon.core.ids import run_id
from daemon.core.outcome import Outcome
from daemon.core.status import RunState, Status
from daemon.core.task import Task
from daemon.engine.context import Control, Means, RunContext
from daemon.engine.policy import outcome_of
from daemon.engine.registry import typed_parameters
from daemon.observability import logging as logs
from daemon.session import Session
from daemon.store import Run, Store, open_engine
from daemon.wiring import host_name, section_of

ERRAND = "e" * 32
"""Id of the task that stands in for a page; no page has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How the errand ended."""

    outcome: Outcome
    judged: list[Judged]


Watch = Callable[[str, Mapping[str, Any] | None], None]
"""Told the step that began, and the progress that was made in it since (None = none yet)."""


def run(
    short: Session, handler: str, url: str, params: Mapping[str, Any], watch: Watch | None = None
) -> Done:
    """Run ``handler`` once. Raises ConfigError when it is not there or the parameters are wrong."""
    registered = short.registry.get(handler)
    if registered is None:
        raise ConfigError(f"the handler {handler} is not usable", hint="see `handoffd doctor`")
    worker = registered.handler
    typed = typed_parameters(worker.Params, dict(params))
    now = datetime.fromtimestamp(time.time(), UTC)
    task = Task(
        id=ERRAND,
        title=url or handler,
        status=Status.IN_PROGRESS,
        handler=handler,
        url=url,
        created=now,
        edited=now,
    )
    with tempfile.TemporaryDirectory(prefix="handoffd-errand-") as folder:
        scratch = Path(folder)
        with closing(Store(open_engine(f"sqlite:///{scratch / 'errand.db'}"), time.time, "errand")) as store:
            ctx = _context(short, store, scratch, task, worker, watch)
            try:
                outcome: Outcome = worker.run(task, typed, ctx)
            # The daemon's policy says what an exception means; so it does here.
            except Exception as error:  # noqa: BLE001
                outcome = outcome_of(error)
            facts = store.evidence(ctx.run.id)
            judged = judge(worker.gates, facts, started=now.timestamp(), skipped=ctx.skipped)
    return Done(outcome=outcome, judged=judged)


def _context(
    short: Session, store: Store, scratch: Path, task: Task, worker: Any, watch: Watch | None
) -> RunContext:
    run = Run(
        run=run_id(task.id, 1),
        task=task.id,
        generation=1,
        attempt=1,
        handler=task.handler,
        host=host_name(short.loaded),
        state=RunState.RUNNING,
        claim="",
        title=task.title,
        page=msgspec.to_builtins(task),
        started=task.created.timestamp(),
    )
    store.begin_run(run)
    secrets = short.loaded.secrets
    means = Means(
        store=store,
        board=short.board,
        home=short.loaded.home,
        work=scratch / "work",
        clock=time.time,
        monotonic=time.monotonic,
        secret=lambda name: secrets[name].reveal() if name in secrets else None,
        draining=threading.Event(),
        rows=short.rows,
        changed=partial(_tell, store, run.run, watch) if watch else lambda: None,
    )
    return RunContext(
        run=replace(run),
        settings=section_of(short.loaded, worker),
        means=means,
        control=Control(run=run.run, deadline=time.monotonic() + worker.time_limit),
        durable=lambda name, fn: fn(),
        log=logs.get_logger(),
    )


def _tell(store: Store, run: str, watch: Watch) -> None:
    known, steps = store.run(run), [s for s in store.steps(run) if s.state == "running"]
    if known is not None and steps:
        news = known.progress or {}
        watch(steps[-1].name, news if news.get("at", 0.0) >= steps[-1].started else None)
