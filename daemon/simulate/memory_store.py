"""The Store without a database: every method that a daemon in virtual time uses, with the same promises.

SQLite takes 0.2 ms a transaction; 30 virtual days have millions. tests/simulate holds both to one contract.
"""

from __future__ import annotations

import bisect
import itertools
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from daemon.core.breaker import MARKS, Mark
from daemon.core.evidence import Evidence, Judged
from daemon.core.gates import Decision
from daemon.core.lineage import Lineage
from daemon.core.status import ACTIVE, RunState
from daemon.store import Event, Occurrence, Run, Step, Store
from daemon.store.rows import Made

_JSON = ("page", "progress")


def _json(value: Any) -> Any:
    """As it comes back from a JSON column: tuples are lists."""
    return None if value is None else msgspec.json.decode(msgspec.json.encode(value))


class MemoryStore(Store):
    """A ``Store`` in dictionaries. Not thread-safe. ``keep_events``: only the newest ones are kept."""

    def __init__(self, clock: Callable[[], float], store_id: str, keep_events: int = 5_000) -> None:
        # Nothing of the parent is wanted but its type: there is no database to open.
        self._clock = clock
        self.id = store_id
        self._keep_events = keep_events
        self._all: dict[str, Run] = {}
        self._newest: list[tuple[float, str]] = []
        self._active: dict[str, None] = {}
        self._by_task: dict[str, dict[int, str]] = {}
        self._steps: dict[str, dict[str, Step]] = {}
        self._evidence: dict[str, dict[tuple[str, str], Evidence]] = {}
        self._gates: dict[str, list[Judged]] = {}
        self._decisions: dict[str, Decision] = {}
        self._events: list[Event] = []
        self._event_ids = itertools.count(1)
        self._slots: dict[str, dict[float, Occurrence]] = {}
        self._made: dict[str, Made] = {}
        self._marks: dict[str, list[Mark]] = {}
        """Handler → its marks, newest first."""

    def close(self) -> None:
        """Nothing to close."""

    # ── runs ──────────────────────────────────────────────────────────────────────────────────────

    def begin_run(self, run: Run) -> bool:
        known = self._by_task.setdefault(run.task, {})
        if run.run in self._all or run.generation in known:
            return False
        run = replace(run, page=_json(run.page), progress=_json(run.progress))
        known[run.generation] = run.run
        insort(self._newest, (-run.started, run.run))
        self._keep(run)
        return True

    def _keep(self, run: Run) -> None:
        self._all[run.run] = run
        if run.state in ACTIVE:
            self._active[run.run] = None
        else:
            self._active.pop(run.run, None)

    def change_run(
        self,
        run: str,
        *,
        only_in: Iterable[RunState] | None = None,
        event: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> bool:
        found = self._all.get(run)
        if found is None or (only_in is not None and found.state not in tuple(only_in)):
            return False
        self._keep(replace(found, **{k: _json(v) if k in _JSON else v for k, v in fields.items()}))
        if event is not None:
            self.event(event["name"], task=event["task"], run=event["run"], **event["data"])
        return True

    def run(self, run: str) -> Run | None:
        return self._all.get(run)

    def active_runs(self) -> list[Run]:
        return sorted((self._all[r] for r in self._active), key=lambda r: r.started)

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
        wanted = None if states is None else set(states)
        found = (
            r
            for r in (self._all[run] for _, run in self._newest)
            if (task is None or r.task == task)
            and (since is None or r.started >= since)
            and (until is None or r.started < until)
            and (handler is None or r.handler == handler)
            and (wanted is None or r.state in wanted)
        )
        return list(itertools.islice(found, limit))

    def latest_runs(self, tasks: Sequence[str]) -> dict[str, Run]:
        out = {}
        for task in tasks:
            known = self._by_task.get(task)
            if known:
                out[task] = self._all[known[max(known)]]
        return out

    def counts(self) -> dict[tuple[str, str], int]:
        out: dict[tuple[str, str], int] = {}
        for run in self._all.values():
            key = (run.handler, run.state.value)
            out[key] = out.get(key, 0) + 1
        return out

    # A death in virtual time runs through every `finally`, so no mark would ever be found.

    def deaths(self, stretch: str, run: str) -> int:
        return 0

    def cut_off(self, stretch: str) -> bool:
        return False

    def stretch_began(self, stretch: str, run: str, deaths: int) -> None:
        pass

    def stretch_ended(self, stretch: str) -> None:
        pass

    # ── steps, evidence, gates ────────────────────────────────────────────────────────────────────

    def step_began(self, run: str, name: str) -> None:
        steps = self._steps.setdefault(run, {})
        before = steps.get(name)
        steps[name] = Step(
            run=run,
            name=name,
            position=before.position if before else len(steps),
            state="running",
            attempts=before.attempts + 1 if before else 1,
            started=self._clock(),
            ended=None,
            error="",
        )

    def step_ended(self, run: str, name: str, error: str = "") -> None:
        before = self._steps.get(run, {}).get(name)
        if before is not None:
            state = "failed" if error else "done"
            self._steps[run][name] = replace(before, state=state, ended=self._clock(), error=error)

    def steps(self, run: str) -> list[Step]:
        return sorted(self._steps.get(run, {}).values(), key=lambda s: (s.position, s.started))

    def add_evidence(self, run: str, item: Evidence) -> None:
        self._evidence.setdefault(run, {}).setdefault((item.gate, item.subject), item)

    def evidence(self, run: str) -> list[Evidence]:
        return list(self._evidence.get(run, {}).values())

    def put_gates(self, run: str, judged: Sequence[Judged]) -> None:
        self._gates[run] = list(judged)

    def gates(self, run: str) -> list[Judged]:
        return list(self._gates.get(run, []))

    # ── decisions and events ──────────────────────────────────────────────────────────────────────

    def decisions(self) -> dict[str, Decision]:
        return dict(self._decisions)

    def decision(self, task: str) -> Decision | None:
        return self._decisions.get(task)

    def record_decisions(self, decisions: Sequence[Decision]) -> None:
        self._decisions.update((d.task_id, d) for d in decisions)

    def event(self, name: str, *, task: str = "", run: str = "", **data: Any) -> None:
        self._events.append(
            Event(id=next(self._event_ids), at=self._clock(), name=name, task=task, run=run, data=data)
        )
        if len(self._events) > 2 * self._keep_events:
            del self._events[: -self._keep_events]

    def events(
        self, *, after: int = 0, task: str | None = None, run: str | None = None, limit: int = 1000
    ) -> list[Event]:
        found = (
            e
            for e in self._events
            if e.id > after and (task is None or e.task == task) and (run is None or e.run == run)
        )
        return list(itertools.islice(found, limit))

    def last_events(self, limit: int) -> list[Event]:
        return self._events[-limit:] if limit else []

    # ── schedules and made tasks ──────────────────────────────────────────────────────────────────

    def claim_slot(self, schedule: str, slot: float) -> bool:
        slots = self._slots.setdefault(schedule, {})
        if slot in slots:
            return False
        slots[slot] = Occurrence(
            schedule=schedule, slot=slot, state="claimed", task="", reason="", at=self._clock()
        )
        return True

    def close_slot(self, schedule: str, slot: float, state: str, *, task: str = "", reason: str = "") -> None:
        before = self._slots.get(schedule, {}).get(slot)
        if before is not None:
            self._slots[schedule][slot] = replace(
                before, state=state, task=task, reason=reason, at=self._clock()
            )

    def skip_slots(self, schedule: str, slots: Sequence[tuple[float, str]]) -> None:
        for slot, reason in slots:
            if self.claim_slot(schedule, slot):
                self.close_slot(schedule, slot, "skipped", reason=reason)

    def unskip_slots(self, schedule: str, after: float) -> None:
        known = self._slots.get(schedule, {})
        for slot in [s for s, o in known.items() if s > after and o.state == "skipped"]:
            del known[slot]

    def occurrences(
        self, schedule: str | None = None, limit: int = 100, until: float | None = None
    ) -> list[Occurrence]:
        names = list(self._slots) if schedule is None else [schedule]
        latest = float("inf") if until is None else until
        found = [o for n in names for o in self._slots.get(n, {}).values() if o.slot <= latest]
        return sorted(found, key=lambda o: -o.slot)[:limit]

    def made(self, made: Made) -> None:
        self._made.setdefault(made.key, made)

    def made_by(self, run: str) -> list[Made]:
        return sorted((m for m in self._made.values() if m.run == run), key=lambda m: m.at)

    def made_with(self, key: str) -> Made | None:
        return self._made.get(key)

    def lineage(self, task: str, run: str, deepest: int) -> Lineage:
        made = [m for m in self._made.values() if m.run and m.created]
        maker = {m.task: m.run[:32] for m in made}
        depth, first, line = 0, task, {task}
        while depth <= deepest and first in maker and maker[first] not in line:
            depth, first = depth + 1, maker[first]
            line.add(first)
        family, young = {first}, [first]
        while young:
            new = {m.task for m in made if m.run[:32] == young[0]} - family
            family |= new
            young = [*young[1:], *new]
        return Lineage(depth=depth, of_run=sum(m.run == run for m in made), family=len(family) - 1)

    def mark(self, mark: Mark) -> None:
        kept = self._marks.setdefault(mark.handler, [])
        if all(m.run != mark.run for m in kept):
            bisect.insort(kept, mark, key=lambda m: (-m.ended, m.run))
            del kept[4 * MARKS :]

    def marks(self, handler: str, limit: int = MARKS) -> list[Mark]:
        return self._marks.get(handler, [])[:limit]

    # ── retention ─────────────────────────────────────────────────────────────────────────────────

    def prune(self, before: float) -> list[str]:
        old = [
            r.run
            for r in self._all.values()
            if r.ended is not None and r.ended < before and r.generation < max(self._by_task[r.task])
        ]
        worn = [
            r
            for r in self._all.values()
            if r.ended is not None and r.ended < before and r.run not in old and r.run in self._steps
        ]
        for bare in (replace(r, page={}) for r in worn):
            self._all[bare.run] = bare
            for kept in (self._steps, self._evidence, self._gates):
                kept.pop(bare.run, None)
        for run in old:
            gone = self._all.pop(run)
            del self._by_task[gone.task][gone.generation]
            self._newest.remove((-gone.started, run))
            for kept in (self._steps, self._evidence, self._gates):
                kept.pop(run, None)
        self._events = [e for e in self._events if e.at >= before]
        for handler, marks in self._marks.items():
            self._marks[handler] = [m for m in marks if m.ended >= before]
        for name, slots in self._slots.items():
            self._slots[name] = {s: o for s, o in slots.items() if o.at >= before}
        self._decisions = {i: d for i, d in self._decisions.items() if d.at >= before}
        return [*old, *(r.run for r in worn)]
