"""One policy, stated once: what an exception that leaves a handler means for the attempt."""

from __future__ import annotations

from daemon.core.errors import (
    AuthError,
    BlockedError,
    CancelledRun,
    ConfigError,
    Fenced,
    HandoffdError,
    NotFound,
    PermanentError,
    TransientError,
    Unreachable,
)
from daemon.core.outcome import Blocked, Cancelled, Failed, Fault, Outcome, Retry
from daemon.core.text import one_line


def outcome_of(error: Exception) -> Outcome:
    """Transient → Retry at the named time. Blocked, config and auth → Blocked: a person has to act (the
    latter two pause the handler as well: every other task of it would end so).
    Permanent and not found → Failed. Cancelled and fenced → Cancelled. Anything else is a surprise:
    Retry, which becomes Failed when the attempts are used up."""
    match error:
        case CancelledRun() | Fenced():
            return Cancelled(reason=error.one_line())
        case TransientError():
            fault = Fault.UNREACHABLE if isinstance(error, Unreachable) else Fault.TRANSIENT
            return Retry(reason=error.one_line(), after=error.retry_after, fault=fault)
        case BlockedError() | ConfigError() | AuthError():
            fault = Fault.NONE if isinstance(error, BlockedError) else Fault.CONFIGURATION
            return Blocked(reason=_message(error), unblock=error.hint or "correct it", fault=fault)
        case PermanentError() | NotFound():
            return Failed(reason=_message(error), hint=error.hint)
        case HandoffdError():
            return Failed(reason=_message(error), hint=error.hint)
    text = one_line(f"unexpected {type(error).__name__}: {error}", 500)
    return Retry(reason=text, fault=Fault.UNEXPECTED)


def _message(error: HandoffdError) -> str:
    return "; ".join([error.message, *error.problems])
