"""The status vocabulary of a task and of a run (contract.md §3). Settings map the board's spellings."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What the Status property of a task says, in our canonical names."""

    DRAFT = "Draft"
    PLANNING = "Planning"
    READY = "Ready"
    IN_PROGRESS = "In Progress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    BLOCKED = "Blocked"
    REVIEW = "Review"
    WAITING = "Waiting"
    CANCELLED = "Cancelled"
    ARCHIVED = "Archived"


DISPATCHABLE = frozenset({Status.READY})
"""Only these are ever dispatched: an allow-list (incident AT-4)."""

OURS = frozenset({Status.IN_PROGRESS, Status.WAITING})
"""What a page says while a run of ours is under way. Anything else during a run was set by a person."""


class RunState(StrEnum):
    """Where one attempt stands in our store."""

    CLAIMING = "claiming"
    """The row exists, the page may not say so yet."""
    RUNNING = "running"
    WAITING = "waiting"
    """Delivered: no process holds it; an arrival resumes it."""
    RETRYING = "retrying"
    """Ended in Retry or Snooze; the next attempt starts at ``retry_at``."""
    COMPLETED = "completed"
    FAILED = "failed"
    BLOCKED = "blocked"
    REVIEW = "review"
    CANCELLED = "cancelled"
    RELEASED = "released"
    """Claimed and given back before any work was done."""

    @property
    def final(self) -> bool:
        """True when this attempt will never act again."""
        return self not in (RunState.CLAIMING, RunState.RUNNING, RunState.WAITING)


ACTIVE = frozenset({RunState.CLAIMING, RunState.RUNNING, RunState.WAITING})
