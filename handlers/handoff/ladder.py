"""Nothing rots: which rung of the ladder is due. A pure function over times and rungs already taken.

nudge → hand over again (generation + 1) → another agent → a person. The predecessor's oldest unanswered
handoff was 357 days old and counted as progress (incident HF-9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Rung(StrEnum):
    """What is done next."""

    NUDGE = "nudge"
    REDELIVER = "redeliver"
    REASSIGN = "reassign"
    PERSON = "person"


class Phase(StrEnum):
    """What is being waited for."""

    ACK = "acknowledgement"
    RETURN = "return"
    SIGN = "sign of life"
    FIX = "mended return"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is known of one delivery. Times are epoch seconds, None = has not happened."""

    delivered: float
    acknowledged: float | None = None
    rejected: float | None = None
    """When the last return was refused, if nothing newer came."""
    sign: float | None = None
    """Last heartbeat."""
    asked: bool = False
    """A blocking question waits for a person: the agent's clocks stand still."""
    answered: float | None = None
    """When the last question was answered: the clocks start again there."""
    nudged: tuple[tuple[Phase, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Durations in seconds, and what the ladder may use. ``delivery`` counts from 1."""

    ack_within: float
    time_limit: float
    silence_limit: float
    fix_window: float
    deliveries: int
    delivery: int
    others: Sequence[str] = ()
    """Agents of the escalation list that this task has not been given to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The rung, what for, since when, and (for REASSIGN) to whom."""

    rung: Rung
    phase: Phase
    at: float
    to: str = ""


def due(now: float, watch: Watch, limits: Limits) -> Due | None:
    """The rung that is due at ``now``, or None. Taking a nudge must be recorded in ``watch.nudged``."""
    if watch.asked:
        return None
    deadlines = [d for d in _deadlines(watch, limits) if d[1] <= now]
    if not deadlines:
        return None
    phase, at, grace = min(deadlines, key=lambda d: d[1])
    nudges = [when for named, when in watch.nudged if named is phase and when >= at]
    if grace is not None and not nudges:
        return Due(rung=Rung.NUDGE, phase=phase, at=at)
    if grace is not None and now < max(nudges) + grace:
        return None
    return _next(phase, at, limits)


def next_deadline(watch: Watch, limits: Limits) -> tuple[Phase, float]:
    """What is waited for and until when, for the page's words."""
    if watch.asked:
        return Phase.ANSWER, watch.delivered
    phase, at, _ = min(_deadlines(watch, limits), key=lambda d: d[1])
    return phase, at


def _deadlines(watch: Watch, limits: Limits) -> list[tuple[Phase, float, float | None]]:
    """(phase, deadline, grace after a nudge; None = no nudge, the refusal was one)."""
    if watch.rejected is not None:
        return [(Phase.FIX, watch.rejected + limits.fix_window, None)]
    if watch.acknowledged is None:
        return [(Phase.ACK, watch.delivered + limits.ack_within, limits.ack_within)]
    begun = max(watch.acknowledged, watch.answered or 0.0)
    sign = max(begun, watch.sign or 0.0)
    return [
        (Phase.RETURN, begun + limits.time_limit, limits.fix_window),
        (Phase.SIGN, sign + limits.silence_limit, limits.silence_limit),
    ]


def _next(phase: Phase, at: float, limits: Limits) -> Due:
    if limits.delivery >= limits.deliveries:
        return Due(rung=Rung.PERSON, phase=phase, at=at)
    if limits.delivery == 1 and phase is not Phase.FIX:
        return Due(rung=Rung.REDELIVER, phase=phase, at=at)
    if limits.others:
        return Due(rung=Rung.REASSIGN, phase=phase, at=at, to=limits.others[0])
    return Due(rung=Rung.PERSON, phase=phase, at=at)
