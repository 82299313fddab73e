"""Sample bundles for each kind: what ``doctor`` renders every template with, and the golden files.

They are examples of what a run records, marked as such (host ``sample-host``, task ids of one repeated
digit); the gates in them are judged by the same function as everywhere else, so a sample can't claim more
than its own evidence carries.
"""

from __future__ import annotations

from daemon.core.ports import Bundle
from daemon.reports.samples.build import BEGAN
from daemon.reports.samples.digests import digest_of_a_day
from daemon.reports.samples.handoffs import handoff_back, handoff_waiting
from daemon.reports.samples.music import MUSIC_GATES, music_done, music_partial
from daemon.reports.samples.tasks import task_done, task_failed

__all__ = ["BEGAN", "MUSIC_GATES", "samples"]


def samples() -> dict[str, Bundle]:
    """Name → bundle. The name starts with the kind that it is of."""
    return {
        "task": task_done(),
        "task-failed": task_failed(),
        "music": music_done(),
        "music-partial": music_partial(),
        "handoff": handoff_back(),
        "handoff-waiting": handoff_waiting(),
        "digest": digest_of_a_day(),
    }
