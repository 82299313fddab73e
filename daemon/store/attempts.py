"""Attempts, their steps, and the stretches of work that are marked while they last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from daemon.core.status import ACTIVE, RunState
from daemon.store import tables as t
from daemon.store.base import Tables
from daemon.store.rows import Run, Step


class Attempts(Tables):
    """What was begun, and how far it came."""

    # ── runs ──────────────────────────────────────────────────────────────────────────────────────────

    def begin_run(self, run: Run) -> bool:
        """Insert the attempt: True = it is ours to start, False = this (task, generation) exists already."""
        row = {f: getattr(run, f) for f in Run.__dataclass_fields__}
        with self._write() as c:
            return self._added(c, t.runs, row)

    def change_run(
        self,
        run: str,
        *,
        only_in: Iterable[RunState] | None = None,
        event: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> bool:
        """Set columns of a run; with ``only_in`` just while it is in one of these states. True = changed.

        ``event``: the columns of an event to append with the change, both or neither.
        """
        where = [t.runs.c.run == run]
        if only_in is not None:
            where.append(t.runs.c.state.in_([s.value for s in only_in]))
        with self._write() as c:
            changed = bool(c.execute(sa.update(t.runs).where(*where).values(**fields)).rowcount)
            if changed and event is not None:
                c.execute(sa.insert(t.events).values(at=self._clock(), **event))
            return changed

    def run(self, run: str) -> Run | None:
        """One attempt by its id."""
        found = self._runs(sa.select(t.runs).where(t.runs.c.run == run))
        return found[0] if found else None

    def active_runs(self) -> list[Run]:
        """Attempts that are not over: claiming, running or waiting."""
        states = [s.value for s in ACTIVE]
        return self._runs(sa.select(t.runs).where(t.runs.c.state.in_(states)).order_by(t.runs.c.started))

    def runs(
        self,
        *,
        task: str | None = None,
        since: float | None = None,
        until: float | None = None,
        handler: str | None = None,
        states: Iterable[RunState] | None = None,
        limit: int = 1000,
    ) -> list[Run]:
        """Attempts, newest first, at most ``limit``."""
        query = sa.select(t.runs).order_by(t.runs.c.started.desc(), t.runs.c.run).limit(limit)
        if task is not None:
            query = query.where(t.runs.c.task == task)
        if since is not None:
            query = query.where(t.runs.c.started >= since)
        if until is not None:
            query = query.where(t.runs.c.started < until)
        if handler is not None:
            query = query.where(t.runs.c.handler == handler)
        if states is not None:
            query = query.where(t.runs.c.state.in_([s.value for s in states]))
        return self._runs(query)

    def latest_runs(self, tasks: Sequence[str]) -> dict[str, Run]:
        """Task id → its attempt with the highest generation, for those that have one."""
        out: dict[str, Run] = {}
        for i in range(0, len(tasks), 500):
            part = tasks[i : i + 500]
            newest = (
                sa.select(t.runs.c.task, sa.func.max(t.runs.c.generation).label("g"))
                .where(t.runs.c.task.in_(part))
                .group_by(t.runs.c.task)
                .subquery()
            )
            join = sa.and_(t.runs.c.task == newest.c.task, t.runs.c.generation == newest.c.g)
            for run in self._runs(sa.select(t.runs).join(newest, join)):
                out[run.task] = run
        return out

    def counts(self) -> dict[tuple[str, str], int]:
        """(handler, state) → number of attempts, over all that are kept."""
        query = sa.select(t.runs.c.handler, t.runs.c.state, sa.func.count()).group_by(
            t.runs.c.handler, t.runs.c.state
        )
        with self._read() as c:
            return {(h, s): n for h, s, n in c.execute(query)}

    def _runs(self, query: sa.Select[Any]) -> list[Run]:
        with self._read() as c:
            return [
                Run(**{**dict(row._mapping), "state": RunState(row._mapping["state"])})
                for row in c.execute(query)
            ]

    # ── steps ─────────────────────────────────────────────────────────────────────────────────────────

    def step_began(self, run: str, name: str) -> None:
        """A step starts, or starts again after a crash or a fault: its attempts grow."""
        now = self._clock()
        count = sa.select(sa.func.count()).where(t.steps.c.run == run).scalar_subquery()
        new = self._insert(t.steps).values(
            run=run, name=name, position=count, state="running", attempts=1, started=now, error=""
        )
        again = {
            "state": "running",
            "attempts": t.steps.c.attempts + 1,
            "started": now,
            "ended": None,
            "error": "",
        }
        with self._write() as c:
            c.execute(new.on_conflict_do_update(index_elements=["run", "name"], set_=again))

    def step_ended(self, run: str, name: str, error: str = "") -> None:
        """A step is done, or failed with ``error``."""
        state = "failed" if error else "done"
        where = (t.steps.c.run == run, t.steps.c.name == name)
        with self._write() as c:
            c.execute(sa.update(t.steps).where(*where).values(state=state, ended=self._clock(), error=error))

    def steps(self, run: str) -> list[Step]:
        """The steps of an attempt in the order they first began."""
        query = sa.select(t.steps).where(t.steps.c.run == run).order_by(t.steps.c.position, t.steps.c.started)
        with self._read() as c:
            return [Step(**row._mapping) for row in c.execute(query)]

    # ── stretches of work, marked while they last ─────────────────────────────────────────────────────

    def deaths(self, stretch: str, run: str) -> int:
        """How often in a row the process died over this stretch of ``run`` without finishing a step."""
        with self._read() as c:
            row = c.execute(sa.select(t.stretches).where(t.stretches.c.stretch == stretch)).first()
            return 0 if row is None or self._steps_over(c, run) > row.steps else int(row.deaths) + 1

    def cut_off(self, stretch: str) -> bool:
        """The process died over this stretch before."""
        with self._read() as c:
            return (
                c.execute(sa.select(t.stretches.c.stretch).where(t.stretches.c.stretch == stretch)).first()
                is not None
            )

    def stretch_began(self, stretch: str, run: str, deaths: int) -> None:
        """Mark it as begun, after ``deaths``."""
        with self._write() as c:
            row = {"steps": self._steps_over(c, run), "deaths": deaths, "began": self._clock()}
            new = self._insert(t.stretches).values(stretch=stretch, **row)
            c.execute(new.on_conflict_do_update(index_elements=["stretch"], set_=row))

    def stretch_ended(self, stretch: str) -> None:
        """Remove the mark."""
        with self._write() as c:
            c.execute(sa.delete(t.stretches).where(t.stretches.c.stretch == stretch))

    @staticmethod
    def _steps_over(connection: sa.Connection, run: str) -> int:
        over = sa.select(sa.func.count()).where(t.steps.c.run == run, t.steps.c.state != "running")
        return int(connection.execute(over).scalar_one())
