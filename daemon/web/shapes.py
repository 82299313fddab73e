"""The JSON shapes of contract.md §1, from records. Pure; the command line may use them as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daemon.core.evidence import Evidence, Judged, files_of
from daemon.core.gates import Decision
from daemon.core.task import Task
from daemon.store import Event, Run, Step


def task(item: Task, runs: Sequence[Run], decision: Decision | None) -> dict[str, Any]:
    """``task show --json``, with the recorded decision beside it."""
    return {
        "id": item.id,
        "title": item.title,
        "status": item.status.value if item.status else item.status_name,
        "handler": item.handler,
        "agent": item.agent,
        "priority": item.priority.label,
        "why": item.why,
        "result": item.result,
        "report": item.report,
        "attempts": item.attempts,
        "url": item.page_url,
        "runs": [r.run for r in runs],
        "decision": None if decision is None else why(decision),
    }


def why(decision: Decision) -> dict[str, Any]:
    """``why --json``: the record as it stands."""
    return {
        "id": decision.task_id,
        "verdict": decision.verdict.value,
        "gate": decision.gate,
        "reason": decision.reason,
        "since": decision.since,
        "would_change": decision.would_change,
        "next_look": decision.next_look,
        "at": decision.at,
    }


def run(
    item: Run, steps: Sequence[Step], gates: Sequence[Judged], evidence: Sequence[Evidence]
) -> dict[str, Any]:
    """``runs show --json``."""
    by_gate: dict[str, list[Evidence]] = {}
    for fact in evidence:
        by_gate.setdefault(fact.gate, []).append(fact)
    return {
        "run": item.run,
        "task": item.task,
        "title": item.title,
        "handler": item.handler,
        "generation": item.generation,
        "attempt": item.attempt,
        "host": item.host,
        "state": item.state.value,
        "started": item.started,
        "ended": item.ended,
        "outcome": item.outcome,
        "summary": item.summary,
        "why": item.why,
        "verdict": item.verdict,
        "wait_for": item.wait_for,
        "retry_at": item.retry_at,
        "progress": item.progress,
        "report": item.report,
        "steps": [
            {
                "name": s.name,
                "state": s.state,
                "attempts": s.attempts,
                "started": s.started,
                "seconds": s.seconds,
                "error": s.error,
            }
            for s in steps
        ],
        "gates": [
            {
                "name": g.name,
                "title": g.title,
                "result": g.result.value,
                "required": g.required,
                "why": g.why,
                "evidence": [_fact(e) for e in by_gate.get(g.name, [])],
            }
            for g in gates
        ],
        "files": files_of(evidence),
    }


def _fact(item: Evidence) -> dict[str, Any]:
    return {"kind": item.kind, "subject": item.subject, "ok": item.ok, "at": item.at, "data": item.data}


def brief(item: Run) -> dict[str, Any]:
    """One line of a list of attempts."""
    names = ("run", "task", "title", "handler", "attempt", "host", "started", "ended", "why", "summary")
    return {n: getattr(item, n) for n in names} | {"state": item.state.value, "progress": item.progress}


def event(item: Event) -> dict[str, Any]:
    """One line of the event log."""
    return {n: getattr(item, n) for n in ("id", "at", "name", "task", "run", "data")}
