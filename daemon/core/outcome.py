"""What a handler returns. Raising is for surprises; one policy turns those into Retry, then Failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Data = dict[str, Any]
"""JSON values only: it is kept in the store and shown to the report's template."""


class Fault(StrEnum):
    """What kind of trouble ended an attempt: it sets the back-off, and the handler's breaker counts it."""

    NONE = ""
    TRANSIENT = "transient"
    UNREACHABLE = "unreachable"
    """A service gives no answer at all."""
    UNEXPECTED = "unexpected"
    """Nobody classified it: perhaps a mistake in the handler."""
    STALLED = "stalled"
    """No sign of life from the work and none from its processes."""
    CONFIGURATION = "configuration"
    """Settings or rights: every task of the handler would end so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The work is finished. The daemon calls it Completed only if every required gate has passed evidence.

    ``awaits``: gates that can't be proved yet, through nobody's fault. When all other required gates have
    passed, the run ends as Partial and the task is tried again after ``again`` seconds, as often as it takes
    and without using up attempts. Otherwise a person decides.
    """

    summary: str
    data: Data = field(default_factory=dict)
    awaits: tuple[str, ...] = ()
    again: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Handed to an agent or a person: the page says Waiting, no process holds the run.

    ``wait_for`` says for whom and what; ``look_again`` is how often (s) the handler's ``arrived`` is asked.
    """

    wait_for: str
    summary: str
    data: Data = field(default_factory=dict)
    look_again: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A passing fault: try again as a new attempt. ``after`` in seconds, None = the back-off's choice."""

    reason: str
    after: float | None = None
    data: Data = field(default_factory=dict)
    fault: Fault = Fault.TRANSIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """Not now, and nobody's fault: look again after ``after`` seconds; no attempt is used up."""

    reason: str
    after: float
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It can never work with this input. The page says Failed and why."""

    reason: str
    hint: str = ""
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A person has to do something first; ``unblock`` says what. ``fault`` CONFIGURATION: no task of this
    handler could go on, so it is paused."""

    reason: str
    unblock: str
    data: Data = field(default_factory=dict)
    fault: Fault = Fault.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsReview:
    """Work was done but the proof is too weak to call it Completed; a person decides."""

    reason: str
    summary: str = ""
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Stopped because the board said so; ``done`` says how far it got."""

    reason: str
    data: Data = field(default_factory=dict)


Outcome = Done | Delivered | Retry | Snooze | Failed | Blocked | NeedsReview | Cancelled


def fault_of(outcome: Outcome) -> Fault | None:
    """What an attempt with this end says of its handler; None = nothing."""
    match outcome:
        case Retry():
            return outcome.fault
        case Blocked():
            return outcome.fault or None
        case Done() | Delivered() | Failed() | NeedsReview():
            return Fault.NONE
    return None
