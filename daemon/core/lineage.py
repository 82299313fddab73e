"""Tasks that make tasks: how deep and how many. No chain of follow-ups may feed itself (incident AT-11; one
audit task of another dispatcher bred 677 in ten hours, research/dispatch.md §2.5)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a task stands among those that the daemon made. ``depth``: 0 for a task that a person, a schedule
    or an outside caller made. ``of_run``: tasks that this attempt has made; ``family``: all that came of the
    first task of the chain."""

    depth: int
    of_run: int
    family: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageLimits:
    """Caps; see ``run.follow_up_*`` in the settings for the reasons."""

    depth: int = 3
    run: int = 500
    family: int = 1000

    def refusal(self, at: Lineage) -> str:
        """Why the task at ``at`` may not make one more, "" = it may."""
        if at.depth >= self.depth:
            return f"follow-ups of follow-ups end here: this task is already number {at.depth} of its chain"
        if at.of_run >= self.run:
            return f"this attempt has made {at.of_run} tasks, no more are allowed"
        if at.family >= self.family:
            return f"{at.family} tasks have come of the first task of this chain, no more are allowed"
        return ""
