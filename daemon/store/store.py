"""Reads and writes of our tables. Each method is one transaction; doing it twice changes nothing more.

Raises TransientError when the database can't be reached; callers never see a vendor's exception.
"""

from __future__ import annotations

import sqlalchemy as sa

from daemon.store import tables as t
from daemon.store.attempts import Attempts
from daemon.store.diary import Diary
from daemon.store.judgements import Judgements


class Store(Attempts, Judgements, Diary):
    """All of it, and what is forgotten in time."""

    def prune(self, before: float) -> list[str]:
        """Forget attempts that ended before ``before`` (epoch s), with all that belongs to them, and events,
        decisions, marks and slots of that age. Of the newest attempt of each task the bare row stays: it
        carries the generation. So does each schedule's newest slot: what comes after it is due. Returns the
        ids of runs whose workflows are of no use any more."""
        r = t.runs.alias("r")
        newest = (
            sa.select(sa.func.max(t.runs.c.generation)).where(t.runs.c.task == r.c.task).scalar_subquery()
        )
        query = sa.select(r.c.run).where(r.c.ended < before, r.c.generation < newest)
        slot = t.occurrences.alias("slot")
        last = (
            sa.select(sa.func.max(slot.c.slot))
            .where(slot.c.schedule == t.occurrences.c.schedule)
            .scalar_subquery()
        )
        with self._write() as c:
            old = [row.run for row in c.execute(query)]
            detailed = sa.select(t.steps.c.run).where(t.steps.c.run == r.c.run).exists()
            bare = sa.select(r.c.run).where(r.c.ended < before, r.c.generation == newest, detailed)
            worn = [row.run for row in c.execute(bare)]
            for i in range(0, len(worn), 500):
                c.execute(sa.update(t.runs).where(t.runs.c.run.in_(worn[i : i + 500])).values(page={}))
            gone = [*old, *worn]
            for table in (t.steps, t.evidence, t.gates):
                for i in range(0, len(gone), 500):
                    c.execute(sa.delete(table).where(table.c.run.in_(gone[i : i + 500])))
            for i in range(0, len(old), 500):
                c.execute(sa.delete(t.runs).where(t.runs.c.run.in_(old[i : i + 500])))
            c.execute(sa.delete(t.decisions).where(t.decisions.c.at < before))
            c.execute(sa.delete(t.events).where(t.events.c.at < before))
            c.execute(sa.delete(t.marks).where(t.marks.c.ended < before))
            aged = (t.occurrences.c.at < before, t.occurrences.c.slot < last)
            c.execute(sa.delete(t.occurrences).where(*aged))
            c.execute(sa.delete(t.stretches).where(t.stretches.c.began < before))
        return gone
