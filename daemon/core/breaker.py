"""When a handler is left alone for a while: a service that is down must not use up every task's attempts.

A fold over the ended attempts of one handler, nothing else: a restart, or another host with the same store,
comes to the same decision. Closed → (``after`` faults in a row over at least three tasks, or one mistake of
the configuration) → paused → half-open: one attempt may try → works: closed; fails: paused twice as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.core.backoff import CLOCK_SLACK_S
from daemon.core.outcome import Fault
from daemon.core.text import one_line

TASKS_AT_LEAST = 3
"""Faults of fewer tasks say more of the tasks than of the handler (a poison task has its own cap)."""

MARKS = 64
"""Newest attempts of a handler that are looked at: enough for ``after`` and all doublings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What one ended attempt says of its handler. Times are epoch seconds."""

    run: str
    handler: str
    task: str
    fault: Fault
    """NONE: the handler came to a result of its own, good or bad."""
    reason: str
    started: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The handler is left alone until ``until`` (epoch s); from then on one attempt at a time may try.

    ``since`` and ``why`` are those of the first pause in a row: they stay while it lasts, ``level`` counts.
    """

    since: float
    until: float
    why: str
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """``after``: faults in a row that open it, 0 = never; ``first``, ``ceiling``: seconds of the pauses."""

    after: int = 8
    first: float = 60.0
    ceiling: float = 3600.0

    def pause(
        self, marks: Iterable[Mark], *, configured_at: float = 0.0, now: float = float("inf")
    ) -> Pause | None:
        """The pause that ``marks`` (of one handler, in any order) lead to, None = it may be used.

        ``configured_at``: when the settings in force were read; mistakes of the configuration before that
        are forgiven. Marks that are later than ``now`` by more than the clocks of two hosts may differ are
        left out: the clock was put back, and a pause from then on would last as long as it was wrong.
        """
        if self.after <= 0:
            return None
        streak: list[Mark] = []
        found: Pause | None = None
        known = (m for m in marks if m.ended <= now + CLOCK_SLACK_S)
        for mark in sorted(known, key=lambda m: (m.ended, m.run)):
            if mark.fault is Fault.CONFIGURATION and mark.ended < configured_at:
                continue
            if mark.fault is Fault.NONE:
                streak, found = [], None
                continue
            if found is not None and mark.started < found.until:
                continue  # it was under way when the pause began: nothing new
            streak.append(mark)
            if found is not None or self._opens(streak):
                found = self._longer(found, streak)
        return found

    def _opens(self, streak: list[Mark]) -> bool:
        if streak[-1].fault is Fault.CONFIGURATION:
            return True
        return len(streak) >= self.after and len({m.task for m in streak}) >= TASKS_AT_LEAST

    def _longer(self, before: Pause | None, streak: list[Mark]) -> Pause:
        last = streak[-1]
        level = before.level + 1 if before else 1
        if before is not None:
            since, why = before.since, before.why
        else:
            since, why = last.ended, one_line(_why(streak), 300)
        wait = min(self.ceiling, self.first * 2.0 ** (level - 1))
        return Pause(since=since, until=last.ended + wait, why=why, level=level)


def _why(streak: list[Mark]) -> str:
    last = streak[-1]
    if last.fault is Fault.CONFIGURATION:
        return f"its configuration is wrong: {last.reason}"
    tasks = len({m.task for m in streak})
    return f"{len(streak)} attempts of {tasks} tasks failed in a row, the last with: {last.reason}"
