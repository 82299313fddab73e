"""What a daemon knows of claims that other daemons of the same board hold, when they share no store.

A claim is over when its owner said so (lease 0), or when this process has watched the very same text for
``LAPSE`` leases on its own clock: a living owner writes a new text every half lease, and stops its run when
it could not for a whole one. No clock of another machine is believed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from daemon.core.status import Status
from daemon.core.task import Task

LAPSE = 1.5
"""Leases that a claim is watched for before it counts as abandoned: one in which its owner must stop, half a
one for its slowest tick."""


class Rivals:
    """Watches the claims on the pages, look by look. ``lapse``: leases without a change of the text."""

    def __init__(self, lapse: float = LAPSE) -> None:
        self._lapse = lapse
        self._since: dict[str, tuple[str, float]] = {}

    def look(self, tasks: Sequence[Task], ours: Collection[str], lease: float, now: float) -> dict[str, bool]:
        """Task id → has its claim lapsed, for every page with a claim that is not over and not of a run under
        way here (``ours``: their tasks). ``now``: monotonic seconds."""
        seen, out = {}, {}
        for task in tasks:
            claim = task.claim
            if claim is None or claim.lease_until_ms == 0 or task.id in ours:
                continue
            text = claim.text()
            before = self._since.get(task.id)
            seen[task.id] = before if before is not None and before[0] == text else (text, now)
            out[task.id] = now - seen[task.id][1] >= self._lapse * lease
        self._since = seen
        return out


def candidates(tasks: Sequence[Task], lapsed: dict[str, bool]) -> list[Task]:
    """The tasks with those whose claim has lapsed shown as Ready: they may be claimed over it."""
    return [
        replace(t, status=Status.READY) if t.status is Status.IN_PROGRESS and lapsed.get(t.id) else t
        for t in tasks
    ]
