"""What samples are built with. Their gates are judged by the same function as everywhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from daemon.core.evidence import Evidence, Gate, files_of, judge
from daemon.core.ids import run_id
from daemon.core.ports import Bundle
from daemon.core.status import Status
from daemon.core.task import Priority, Task

BEGAN = 1_767_872_259.0
"""2026-01-08 11:37:39 UTC, the minute of the reference report's run."""


def file(gate: str, subject: str, path: str, size: int, at_s: float, digest: str, **more: Any) -> Evidence:
    """A file that was measured: ``at_s`` seconds after the start, its hash made of ``digest``."""
    return ev(gate, "file", subject, True, at_s, path=path, bytes=size, sha256=digest * 32, **more)


def ev(gate: str, kind: str, subject: str, ok: bool | None, at_s: float, **data: Any) -> Evidence:
    """One measured fact, ``at_s`` seconds after the start."""
    return Evidence(gate=gate, kind=kind, subject=subject, ok=ok, data=data, at=BEGAN + at_s)


def bundle(
    kind: str,
    digit: str,
    title: str,
    gates: Sequence[Gate],
    evidence: Sequence[Evidence],
    steps: Sequence[tuple[str, float, float, int, str]],
    *,
    handler: str,
    seconds: float,
    summary: str,
    outcome: str = "done",
    status: str = "Completed",
    why: str = "",
    previous: Sequence[float] = (),
    data: Mapping[str, Any] | None = None,
    follow_ups: Sequence[Mapping[str, Any]] = (),
    url: str = "",
    agents: tuple[str, ...] = (),
) -> Bundle:
    """A bundle of ``kind`` for the task whose id is ``digit`` repeated, with its gates judged.

    ``steps``: (name, offset s, seconds, attempts, error). ``previous``: earlier runs in s, newest first.
    """
    edited = datetime.fromtimestamp(BEGAN - 60, UTC)
    task = Task(
        id=digit * 32,
        title=title,
        status=Status.READY,
        status_name="Ready",
        priority=Priority.HIGH,
        handler=handler,
        agents=agents,
        url=url,
        acceptance=("Every file is there", "The board says so"),
        page_url=f"https://www.notion.so/{digit * 32}",
        created=edited,
        edited=edited,
    )
    return Bundle(
        kind=kind,
        run=run_id(task.id, 1),
        task=task,
        handler=handler,
        host="sample-host",
        version="0.0.0-sample",
        generation=1,
        attempt=1,
        started=BEGAN,
        ended=BEGAN + seconds,
        outcome=outcome,
        status=status,
        summary=summary,
        why=why,
        data=data or {},
        judged=judge(gates, evidence, started=BEGAN),
        evidence=evidence,
        steps=[
            {
                "name": name,
                "state": "failed" if error else "done",
                "attempts": attempts,
                "started": BEGAN + offset,
                "seconds": took,
                "error": error,
            }
            for name, offset, took, attempts, error in steps
        ],
        files=files_of(evidence),
        follow_ups=follow_ups,
        previous=[
            {"run": run_id("e" * 32, n), "seconds": took, "state": "completed", "ended": BEGAN - 86400 * i}
            for i, (n, took) in enumerate(zip(range(len(previous), 0, -1), previous, strict=True), 1)
        ],
    )
