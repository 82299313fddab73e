"""What the store gives back: frozen records, never rows of a vendor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daemon.core.status import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt. ``page`` is the task as it was when claimed (JSON form); times are epoch seconds."""

    run: str
    task: str
    generation: int
    attempt: int
    handler: str
    host: str
    state: RunState
    claim: str
    title: str
    page: dict[str, Any]
    started: float
    ended: float | None = None
    workflow: str = ""
    """Id of the durable workflow that works, or last worked, on it; "" = none was started yet."""
    outcome: str = ""
    summary: str = ""
    why: str = ""
    report: str = ""
    retry_at: float | None = None
    wait_for: str = ""
    look_again: float | None = None
    progress: dict[str, Any] | None = None
    """{"done", "total", "note", "at"}"""
    verdict: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One durable step. ``state``: running | done | failed."""

    run: str
    name: str
    position: int
    state: str
    attempts: int
    started: float
    ended: float | None
    error: str

    @property
    def seconds(self) -> float | None:
        """How long it took, None while it runs."""
        return None if self.ended is None else self.ended - self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the append-only log."""

    id: int
    at: float
    name: str
    task: str
    run: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One slot of a schedule. ``state``: ran | late | skipped | claimed."""

    schedule: str
    slot: float
    state: str
    task: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A task that the daemon made. ``created`` False: a page with this key was there already."""

    key: str
    run: str
    task: str
    title: str
    priority: str
    handler: str
    created: bool
    at: float
