"""Outcome + judged gates → what is written to page and store. Pure, and the only place that decides it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.core.backoff import Backoff
from daemon.core.evidence import GateResult, Judged, Verdict, verdict
from daemon.core.outcome import (
    Blocked,
    Cancelled,
    Delivered,
    Done,
    Failed,
    NeedsReview,
    Outcome,
    Retry,
    Snooze,
)
from daemon.core.status import RunState, Status
from daemon.core.text import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a stretch of work ends. ``status`` None = leave the page's status alone (a person set it).

    ``retry_in``: seconds until the next attempt; ``counts``: this attempt is used up.
    """

    state: RunState
    status: Status | None
    result: str
    why: str
    retry_in: float | None = None
    counts: bool = True


def ending(
    outcome: Outcome,
    judged: Sequence[Judged],
    *,
    attempt: int,
    backoff: Backoff,
    rng: Callable[[], float],
) -> Ending:
    """What ``outcome`` means, given what could be proved. Done without proof is never Completed."""
    match outcome:
        case Done():
            return _done(outcome, judged)
        case Delivered():
            why = f"waits for {outcome.wait_for}"
            return Ending(state=RunState.WAITING, status=Status.WAITING, result=outcome.summary, why=why)
        case Retry():
            return _retry(outcome, attempt, backoff, rng)
        case Snooze():
            return Ending(
                state=RunState.RETRYING,
                status=Status.READY,
                result="",
                why=outcome.reason,
                retry_in=outcome.after,
                counts=False,
            )
        case Failed():
            why = f"{outcome.reason} → {outcome.hint}" if outcome.hint else outcome.reason
            return Ending(
                state=RunState.FAILED, status=Status.FAILED, result=f"Failed: {outcome.reason}", why=why
            )
        case Blocked():
            why = f"{outcome.reason} → {outcome.unblock}, then set Ready again"
            return Ending(
                state=RunState.BLOCKED, status=Status.BLOCKED, result=f"Blocked: {outcome.reason}", why=why
            )
        case NeedsReview():
            why = f"needs a person's review: {outcome.reason}"
            text = outcome.summary or outcome.reason
            return Ending(state=RunState.REVIEW, status=Status.REVIEW, result=text, why=why)
        case Cancelled():
            return Ending(
                state=RunState.CANCELLED,
                status=None,
                result=f"Cancelled: {outcome.reason}",
                why="cancelled on the board",
                counts=False,
            )


def _done(outcome: Done, judged: Sequence[Judged]) -> Ending:
    required = [j for j in judged if j.required and j.result is not GateResult.NOT_APPLICABLE]
    match verdict(judged):
        case Verdict.SUCCESS:
            proof = f"{len(required)} of {len(required)} required gates passed."
            text = f"{outcome.summary} {proof}".strip()
            return Ending(state=RunState.COMPLETED, status=Status.COMPLETED, result=text, why="")
        case Verdict.PARTIAL:
            state, status = RunState.REVIEW, Status.REVIEW
        case Verdict.FAILED:
            failed = any(j.result is GateResult.FAILED for j in required)
            state, status = (RunState.FAILED, Status.FAILED) if failed else (RunState.REVIEW, Status.REVIEW)
    unproved = {j.name for j in required if j.result is not GateResult.PASSED}
    if verdict(judged) is Verdict.PARTIAL and unproved <= set(outcome.awaits):
        return _partial(outcome, ", ".join(sorted(unproved)))
    open_ = [f"{j.name} ({j.result.value}: {j.why})" for j in required if j.result is not GateResult.PASSED]
    named = "; ".join(open_) or "the handler declares no required gate"
    why = one_line(f"not proved: {named}", 600)
    return Ending(state=state, status=status, result=f"{outcome.summary} Not proved: {named}", why=why)


def _partial(outcome: Done, unproved: str) -> Ending:
    return Ending(
        state=RunState.RETRYING,
        status=Status.READY,
        result=f"{outcome.summary} Partial: not proved yet: {unproved}",
        why=one_line(f"partial: {unproved} not proved yet; looks again in {outcome.again:.0f} s", 600),
        retry_in=outcome.again,
        counts=False,
    )


def _retry(outcome: Retry, attempt: int, backoff: Backoff, rng: Callable[[], float]) -> Ending:
    wait = backoff.delay(attempt, rng, outcome.after, outcome.fault)
    if wait is None:
        text = f"gave up after {attempt} attempts: {outcome.reason}"
        return Ending(
            state=RunState.FAILED,
            status=Status.FAILED,
            result=f"Failed: {text}",
            why=f"{text} → set Ready to try again",
        )
    why = f"attempt {attempt} of {backoff.attempts} failed: {outcome.reason}; tries again in {wait:.0f} s"
    return Ending(state=RunState.RETRYING, status=Status.READY, result="", why=why, retry_in=wait)
