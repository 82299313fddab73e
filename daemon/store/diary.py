"""The log of events, the slots of schedules, and the tasks that the daemon made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from daemon.core.lineage import Lineage
from daemon.observability.events import BOARD_TROUBLE
from daemon.store import tables as t
from daemon.store.base import Tables
from daemon.store.rows import Event, Made, Occurrence


class Diary(Tables):
    """What happened, and what came of it."""

    # ── events ────────────────────────────────────────────────────────────────────────────────────────

    def event(self, name: str, *, task: str = "", run: str = "", **data: Any) -> None:
        """Append one line to the log."""
        with self._write() as c:
            c.execute(sa.insert(t.events).values(at=self._clock(), name=name, task=task, run=run, data=data))

    def events(
        self, *, after: int = 0, task: str | None = None, run: str | None = None, limit: int = 1000
    ) -> list[Event]:
        """Events with an id above ``after``, oldest first."""
        query = sa.select(t.events).where(t.events.c.id > after).order_by(t.events.c.id).limit(limit)
        if task is not None:
            query = query.where(t.events.c.task == task)
        if run is not None:
            query = query.where(t.events.c.run == run)
        with self._read() as c:
            return [Event(**row._mapping) for row in c.execute(query)]

    def last_events(self, limit: int) -> list[Event]:
        """The newest events, oldest of them first."""
        query = sa.select(t.events).order_by(t.events.c.id.desc()).limit(limit)
        with self._read() as c:
            return [Event(**row._mapping) for row in c.execute(query)][::-1]

    def outage(self) -> Event | None:
        """The event that says why the board can't be read, while no later one says that it is back."""
        names = (*BOARD_TROUBLE, "board.back")
        query = sa.select(t.events).where(t.events.c.name.in_(names)).order_by(t.events.c.id.desc()).limit(1)
        with self._read() as c:
            row = c.execute(query).first()
        return Event(**row._mapping) if row is not None and row.name != "board.back" else None

    # ── schedules and made tasks ──────────────────────────────────────────────────────────────────────

    def claim_slot(self, schedule: str, slot: float) -> bool:
        """True when this host is the one to fill the slot (epoch s)."""
        row = {"schedule": schedule, "slot": slot, "state": "claimed", "at": self._clock()}
        with self._write() as c:
            return self._added(c, t.occurrences, row)

    def close_slot(self, schedule: str, slot: float, state: str, *, task: str = "", reason: str = "") -> None:
        """Say what became of a slot."""
        where = (t.occurrences.c.schedule == schedule, t.occurrences.c.slot == slot)
        with self._write() as c:
            c.execute(
                sa.update(t.occurrences)
                .where(*where)
                .values(state=state, task=task, reason=reason, at=self._clock())
            )

    def skip_slots(self, schedule: str, slots: Sequence[tuple[float, str]]) -> None:
        """Say of many slots (epoch s, reason) that they were skipped; known ones stay as they are."""
        now = self._clock()
        rows = [
            {"schedule": schedule, "slot": slot, "state": "skipped", "reason": reason, "at": now}
            for slot, reason in slots
        ]
        with self._write() as c:
            c.execute(self._insert(t.occurrences).on_conflict_do_nothing(), rows)

    def unskip_slots(self, schedule: str, after: float) -> None:
        """Forget that slots after ``after`` (epoch s) were skipped: they have not come yet."""
        slot = t.occurrences.c
        where = (slot.schedule == schedule, slot.slot > after, slot.state == "skipped")
        with self._read() as c:
            if c.execute(sa.select(slot.slot).where(*where).limit(1)).first() is None:
                return
        with self._write() as c:
            c.execute(sa.delete(t.occurrences).where(*where))

    def occurrences(
        self, schedule: str | None = None, limit: int = 100, until: float | None = None
    ) -> list[Occurrence]:
        """Slots, newest first; with ``until`` (epoch s) none after it."""
        query = sa.select(t.occurrences).order_by(t.occurrences.c.slot.desc()).limit(limit)
        if schedule is not None:
            query = query.where(t.occurrences.c.schedule == schedule)
        if until is not None:
            query = query.where(t.occurrences.c.slot <= until)
        with self._read() as c:
            return [Occurrence(**row._mapping) for row in c.execute(query)]

    def made(self, made: Made) -> None:
        """Remember a task that the daemon made."""
        row = {f: getattr(made, f) for f in Made.__dataclass_fields__}
        with self._write() as c:
            c.execute(self._insert(t.keys).values(row).on_conflict_do_nothing())

    def made_by(self, run: str) -> list[Made]:
        """The tasks that an attempt made."""
        with self._read() as c:
            rows = c.execute(sa.select(t.keys).where(t.keys.c.run == run).order_by(t.keys.c.at)).all()
        return [Made(**r._mapping) for r in rows]

    def made_with(self, key: str) -> Made | None:
        """The task made with a key."""
        with self._read() as c:
            row = c.execute(sa.select(t.keys).where(t.keys.c.key == key)).first()
        return Made(**row._mapping) if row else None

    def lineage(self, task: str, run: str, deepest: int) -> Lineage:
        """Where ``task`` and its attempt ``run`` stand among the tasks that attempts made. Looks up to
        ``deepest`` + 1 generations back; a chain that is longer, or goes round, counts as that."""
        maker = sa.func.substr(t.keys.c.run, 1, 32)  # a run id begins with its task's
        made = sa.and_(t.keys.c.run != "", t.keys.c.created)
        with self._read() as c:
            depth, first, line = 0, task, {task}
            while depth <= deepest:
                parent = c.execute(sa.select(maker).where(t.keys.c.task == first, made)).scalar()
                if parent is None or parent in line:
                    break
                depth, first = depth + 1, parent
                line.add(parent)
            of_run = c.execute(sa.select(sa.func.count()).where(t.keys.c.run == run, made)).scalar_one()
            family, young = {first}, [first]
            while young:
                part, young = young[:500], young[500:]
                found = c.execute(sa.select(t.keys.c.task).where(maker.in_(part), made)).scalars()
                new = set(found) - family
                family |= new
                young += sorted(new)
        return Lineage(depth=depth, of_run=of_run, family=len(family) - 1)
