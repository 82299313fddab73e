"""What was measured and what was said of it: evidence, gates, decisions, marks of handlers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from daemon.core.breaker import MARKS, Mark
from daemon.core.evidence import Evidence, GateResult, Judged
from daemon.core.gates import Call, Decision
from daemon.core.outcome import Fault
from daemon.core.status import RunState
from daemon.store import tables as t
from daemon.store.base import Tables

_FACT = ("gate", "kind", "subject", "ok", "data", "at")


class Judgements(Tables):
    """What was proved of attempts, and what was decided of tasks."""

    # ── evidence and gates ────────────────────────────────────────────────────────────────────────────

    def add_evidence(self, run: str, item: Evidence) -> None:
        """Record a fact; the same (gate, subject) again changes nothing: the first measurement stands."""
        count = sa.select(sa.func.count()).where(t.evidence.c.run == run).scalar_subquery()
        row = self._insert(t.evidence).values(
            run=run,
            position=count,
            gate=item.gate,
            kind=item.kind,
            subject=item.subject,
            ok=item.ok,
            data=item.data,
            at=item.at,
        )
        with self._write() as c:
            c.execute(row.on_conflict_do_nothing())

    def evidence(self, run: str) -> list[Evidence]:
        """All facts of an attempt in the order they were recorded."""
        columns = [t.evidence.c[n] for n in _FACT]
        query = (
            sa.select(*columns)
            .where(t.evidence.c.run == run)
            .order_by(t.evidence.c.position, t.evidence.c.at)
        )
        with self._read() as c:
            return [Evidence(**row._mapping) for row in c.execute(query)]

    def facts(self, runs: Sequence[str], gates: Sequence[str]) -> dict[str, list[Evidence]]:
        """Run → its evidence for these gates; a run without any is left out."""
        columns = [t.evidence.c[n] for n in ("run", *_FACT)]
        wanted = (t.evidence.c.run.in_(runs), t.evidence.c.gate.in_(gates))
        query = sa.select(*columns).where(*wanted).order_by(t.evidence.c.position, t.evidence.c.at)
        out: dict[str, list[Evidence]] = {}
        with self._read() as c:
            for run, *fact in c.execute(query):
                out.setdefault(run, []).append(Evidence(**dict(zip(_FACT, fact, strict=True))))
        return out

    def proved(self, runs: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Run → (required gates that passed, required gates that apply); a run not judged yet is left out."""
        g = t.gates.c
        passed = sa.func.sum(sa.case((g.result == GateResult.PASSED.value, 1), else_=0))
        applies = (g.required, g.result != GateResult.NOT_APPLICABLE.value, g.run.in_(runs))
        query = sa.select(g.run, passed, sa.func.count()).where(*applies).group_by(g.run)
        with self._read() as c:
            return {run: (int(ok), int(of)) for run, ok, of in c.execute(query)}

    def put_gates(self, run: str, judged: Sequence[Judged]) -> None:
        """Keep what the gates said, replacing an earlier judgement of the same attempt."""
        rows = [
            {
                "run": run,
                "name": j.name,
                "position": i,
                "title": j.title,
                "part": j.group,
                "required": j.required,
                "result": j.result.value,
                "why": j.why,
                "evidence": list(j.evidence),
            }
            for i, j in enumerate(judged)
        ]
        with self._write() as c:
            c.execute(sa.delete(t.gates).where(t.gates.c.run == run))
            if rows:
                c.execute(sa.insert(t.gates), rows)

    def gates(self, run: str) -> list[Judged]:
        """What the gates said, in the handler's order."""
        query = sa.select(t.gates).where(t.gates.c.run == run).order_by(t.gates.c.position)
        with self._read() as c:
            return [
                Judged(
                    name=r.name,
                    title=r.title,
                    group=r.part,
                    required=r.required,
                    result=GateResult(r.result),
                    why=r.why,
                    evidence=tuple(r.evidence),
                )
                for r in c.execute(query)
            ]

    # ── decisions ─────────────────────────────────────────────────────────────────────────────────────

    def decisions(self) -> dict[str, Decision]:
        """Task id → the last recorded decision."""
        with self._read() as c:
            rows = c.execute(sa.select(t.decisions)).all()
        return {r.task: self._decision(r._mapping) for r in rows}

    def open_decisions(self, handler: str, limit: int) -> list[Decision]:
        """The last recorded decisions about tasks of a handler that are not over, newest first."""
        over = [s.value for s in (RunState.COMPLETED, RunState.CANCELLED)]
        query = (
            sa.select(t.decisions)
            .where(t.decisions.c.handler == handler, t.decisions.c.gate.not_in(over))
            .order_by(t.decisions.c.at.desc(), t.decisions.c.task)
            .limit(limit)
        )
        with self._read() as c:
            return [self._decision(r._mapping) for r in c.execute(query)]

    def decision(self, task: str) -> Decision | None:
        """The last recorded decision about one task."""
        with self._read() as c:
            row = c.execute(sa.select(t.decisions).where(t.decisions.c.task == task)).first()
        return self._decision(row._mapping) if row else None

    @staticmethod
    def _decision(row: Mapping[Any, Any]) -> Decision:
        values = {k: v for k, v in row.items() if k != "task"}
        return Decision(**{**values, "task_id": row["task"], "verdict": Call(row["verdict"])})

    def record_decisions(self, decisions: Sequence[Decision]) -> None:
        """Keep these, replacing the earlier ones about the same tasks."""
        rows = [
            {**{f: getattr(d, f) for f in Decision.__dataclass_fields__ if f != "task_id"}, "task": d.task_id}
            for d in decisions
        ]
        if not rows:
            return
        new = self._insert(t.decisions)
        update = {c.name: new.excluded[c.name] for c in t.decisions.columns if c.name != "task"}
        with self._write() as c:
            c.execute(new.on_conflict_do_update(index_elements=["task"], set_=update), rows)

    # ── what attempts say of their handlers ───────────────────────────────────────────────────────────

    def mark(self, mark: Mark) -> None:
        """Keep what an ended attempt says of its handler; a second time changes nothing."""
        row = {**{f: getattr(mark, f) for f in Mark.__dataclass_fields__}, "fault": mark.fault.value}
        with self._write() as c:
            c.execute(self._insert(t.marks).values(row).on_conflict_do_nothing())

    def marks(self, handler: str, limit: int = MARKS) -> list[Mark]:
        """The newest marks of a handler, newest first."""
        query = (
            sa.select(t.marks)
            .where(t.marks.c.handler == handler)
            .order_by(t.marks.c.ended.desc(), t.marks.c.run)
            .limit(limit)
        )
        with self._read() as c:
            return [Mark(**{**r._mapping, "fault": Fault(r.fault)}) for r in c.execute(query)]
