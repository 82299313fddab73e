"""What a handler may know of other work: from the store alone, no call of the board."""

from __future__ import annotations

from daemon.sdk import OpenTask, RunRecord
from daemon.store import Run, Store


def record(store: Store, run: Run) -> RunRecord:
    """A run with its gates and evidence, for handlers that report on others."""
    return RunRecord(
        run=run.run,
        task=run.task,
        title=run.title,
        handler=run.handler,
        state=run.state.value,
        started=run.started,
        ended=run.ended,
        result=run.summary,
        report=run.report,
        gates=tuple(store.gates(run.run)),
        evidence=tuple(store.evidence(run.run)),
    )


def open_tasks(store: Store, handler: str, besides: str, limit: int) -> list[OpenTask]:
    """Tasks of a handler that are not over, but for the one called ``besides``, newest decision first."""
    return [
        OpenTask(id=d.task_id, title=d.title, gate=d.gate, reason=d.reason)
        for d in store.open_decisions(handler, limit + 1)
        if d.task_id != besides
    ][:limit]
