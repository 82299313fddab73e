"""Records → the JSON that contract.md §1 promises, where the command line says more than the HTTP API.

The rest is shared: ``daemon.web.shapes``. Times are epoch seconds, ids 32 hex digits; null = unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daemon.core.gates import Decision
from daemon.core.status import RunState
from daemon.store import Event, Occurrence, Run
from daemon.web import shapes

_CHANGES = {
    RunState.CLAIMING: "the claim is written",
    RunState.RUNNING: "it ends",
    RunState.RETRYING: "the waiting time ends",
}


def why(
    task_id: str, decision: Decision | None, run: Run | None, outage: Event | None = None
) -> dict[str, Any]:
    """``why``: what was recorded last about a task — its attempt, or the tick's decision.

    An attempt that is not over, or that ended after the decision was made, is the newer word. ``outage``: the
    board can't be read since then; it stands beside the other word, under ``board``.
    """
    silent = outage is not None and (decision is None or decision.at <= outage.at)
    board = {"error": str(outage.data.get("error", "")), "since": outage.at} if outage and silent else None
    return {**_said(task_id, decision, run), "board": board}


def _said(task_id: str, decision: Decision | None, run: Run | None) -> dict[str, Any]:
    if run is not None and (decision is None or run.ended is None or run.ended >= decision.at):
        return _of_run(task_id, run)
    if decision is not None:
        return {**shapes.why(decision), "handler": decision.handler, "run": None}
    return {
        "id": task_id,
        "verdict": "unseen",
        "gate": "",
        "reason": "never Ready while the daemon ran, or no page has this id",
        "since": None,
        "would_change": "set it to Ready while `handoffd run` runs; `handoffd task list` has the ids",
        "next_look": None,
        "at": None,
        "handler": "",
        "run": None,
    }


def _of_run(task_id: str, run: Run) -> dict[str, Any]:
    if run.state is RunState.WAITING:
        would = run.wait_for or "what it waits for arrives"
    else:
        would = _CHANGES.get(run.state, "set it to Ready for a new attempt")
    at = run.started if run.ended is None else run.ended
    return {
        "id": task_id,
        "verdict": run.state.value,
        "gate": "backoff" if run.state is RunState.RETRYING else "",
        "reason": run.why or run.summary or _progress(run.progress) or f"attempt {run.run}",
        "since": at,
        "would_change": would,
        "next_look": run.retry_at,
        "at": at,
        "handler": run.handler,
        "run": run.run,
    }


def _progress(progress: Mapping[str, Any] | None) -> str:
    if not progress:
        return ""
    total = progress.get("total")
    share = f"{progress.get('done', 0):g} of {total:g}" if isinstance(total, int | float) and total else ""
    return " ".join(part for part in (share, str(progress.get("note") or "")) if part)


def occurrence(slot: Occurrence) -> dict[str, Any]:
    """One past slot of a schedule."""
    return {n: getattr(slot, n) for n in ("slot", "state", "task", "reason", "at")}
