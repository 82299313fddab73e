"""How a state looks: a glyph, a tone and a word, so that nothing hangs on colour alone."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.core.evidence import GateResult
from daemon.core.status import RunState, Status
from daemon.store import Run


@dataclass(frozen=True, slots=True)
class Mark:
    """``tone`` names a colour of the style sheet: run, ok, bad, warn, wait or idle."""

    glyph: str
    tone: str
    word: str


STATUS = {
    Status.DRAFT: Mark("○", "idle", "draft"),
    Status.PLANNING: Mark("○", "idle", "planning"),
    Status.READY: Mark("◌", "idle", "ready"),
    Status.IN_PROGRESS: Mark("●", "run", "in progress"),
    Status.COMPLETED: Mark("✓", "ok", "completed"),
    Status.FAILED: Mark("✗", "bad", "failed"),
    Status.BLOCKED: Mark("‖", "warn", "blocked"),
    Status.REVIEW: Mark("?", "warn", "review"),
    Status.WAITING: Mark("◷", "wait", "waiting"),
    Status.CANCELLED: Mark("–", "idle", "cancelled"),
    Status.ARCHIVED: Mark("–", "idle", "archived"),
}

RUN = {
    RunState.CLAIMING: Mark("●", "run", "claiming"),
    RunState.RUNNING: Mark("●", "run", "running"),
    RunState.WAITING: Mark("◷", "wait", "waiting"),
    RunState.RETRYING: Mark("↻", "warn", "retrying"),
    RunState.COMPLETED: Mark("✓", "ok", "completed"),
    RunState.FAILED: Mark("✗", "bad", "failed"),
    RunState.BLOCKED: Mark("‖", "warn", "blocked"),
    RunState.REVIEW: Mark("?", "warn", "review"),
    RunState.CANCELLED: Mark("–", "idle", "cancelled"),
    RunState.RELEASED: Mark("–", "idle", "released"),
}

GATE = {
    GateResult.PASSED: Mark("✓", "ok", "passed"),
    GateResult.FAILED: Mark("✗", "bad", "failed"),
    GateResult.UNKNOWN: Mark("?", "warn", "not proved"),
    GateResult.NOT_APPLICABLE: Mark("–", "idle", "does not apply"),
}

_STEP = {
    "running": Mark("●", "run", "running"),
    "done": Mark("✓", "ok", "done"),
    "failed": Mark("✗", "bad", "failed"),
}
_HANDLER = {
    "loaded": Mark("✓", "ok", "loaded"),
    "paused": Mark("‖", "warn", "paused"),
    "disabled": Mark("–", "idle", "disabled"),
    "load_error": Mark("✗", "bad", "does not load"),
    "config_error": Mark("✗", "bad", "wrong settings"),
    "check_failed": Mark("!", "warn", "check failed"),
}
_SLOT = {
    "ran": Mark("✓", "ok", "ran"),
    "late": Mark("✓", "warn", "ran late"),
    "skipped": Mark("–", "idle", "skipped"),
    "claimed": Mark("●", "run", "being filled"),
}
_HOST = {
    "here": Mark("✓", "ok", "here"),
    "answers": Mark("✓", "ok", "answers"),
    "silent": Mark("!", "warn", "silent"),
    "gone": Mark("–", "idle", "gone"),
}


def of_run(run: Run, now: float) -> Mark:
    """The mark of an attempt; one whose retry has come due is history."""
    if run.state is RunState.RETRYING and (run.retry_at is None or run.retry_at <= now):
        return Mark("↻", "idle", "retried")
    return RUN[run.state]


def of_status(status: Status | None, name: str = "") -> Mark:
    """The mark of a task's status; one outside the vocabulary shows the board's own word."""
    return STATUS[status] if status is not None else Mark("·", "idle", name or "no status")


def of_step(state: str) -> Mark:
    """The mark of a step's state."""
    return _STEP.get(state, Mark("·", "idle", state))


def of_handler(state: str) -> Mark:
    """The mark of a handler's state."""
    return _HANDLER.get(state, Mark("!", "warn", state))


def of_slot(state: str) -> Mark:
    """The mark of a schedule's slot."""
    return _SLOT.get(state, Mark("·", "idle", state))


def of_host(state: str) -> Mark:
    """The mark of a host's state."""
    return _HOST[state]


def of_check(ok: bool) -> Mark:
    """The mark of a readiness check."""
    return Mark("✓", "ok", "ok") if ok else Mark("✗", "bad", "not ok")
