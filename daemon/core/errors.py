"""Every error that handoffd raises on purpose, and the exit codes that they end in.

::

    HandoffdError                 code, what happened, hint = what to do next
    ├── ConfigError               settings or board schema are wrong; a restart can't help      78
    ├── AuthError                 a token was refused                                           77
    ├── NotFound                  a page, database, file or handler is not there                1
    ├── TransientError            try again later; carries ``retry_after`` (s)                  75
    │   ├── Unreachable           a needed service does not answer                              69
    │   └── Ambiguous             a write may or may not have landed: look before repeating     75
    ├── PermanentError            this input can never work (404 at the source, DRM, bad file)  1
    ├── BlockedError              a person has to do something first                            1
    ├── Fenced                    the claim is no longer ours: stop, write nothing              1
    └── CancelledRun              a person cancelled the task while it ran                      1

A caller catches a branch; a leaf says the cause. Vendor exceptions are chained as ``__cause__``.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes; the BSD ``sysexits`` names where one fits. docs/cli.md must equal this table."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 69
    BUG = 70
    CANTCREAT = 73
    TEMPFAIL = 75
    NOPERM = 77
    CONFIG = 78


class HandoffdError(Exception):
    """Base of all deliberate errors.

    ``message`` says what happened and where, ``hint`` what to do next, ``code`` is a stable
    lower-case word for logs, metrics and JSON. ``problems`` lists every single finding when
    several were found at once (settings, schema).
    """

    code = "error"
    exit_code = ExitCode.FAILED
    retryable = False

    def __init__(self, message: str, *, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = problems

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {p}" for p in self.problems)]
        return "\n".join(lines)

    def one_line(self) -> str:
        """Message, problems and hint on one line, for a page property or a log field."""
        text = "; ".join([self.message, *self.problems])
        return f"{text} ({self.hint})" if self.hint else text


class ConfigError(HandoffdError):
    """Settings, or the board's schema, can't work as they are."""

    code = "config"
    exit_code = ExitCode.CONFIG


class AuthError(HandoffdError):
    """A service refused our token or its rights."""

    code = "auth"
    exit_code = ExitCode.NOPERM


class NotFound(HandoffdError):
    """What was asked for does not exist, or is not shared with us."""

    code = "not_found"


class TransientError(HandoffdError):
    """May work later. ``retry_after`` in seconds when the other side named a time."""

    code = "transient"
    exit_code = ExitCode.TEMPFAIL
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        problems: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, problems=problems)
        self.retry_after = retry_after


class Unreachable(TransientError):
    """A service that we need gives no answer."""

    code = "unreachable"
    exit_code = ExitCode.UNAVAILABLE


class Ambiguous(TransientError):
    """A write whose answer was lost: it may have landed. Read back before repeating it."""

    code = "ambiguous"


class PermanentError(HandoffdError):
    """Trying again with the same input can't help."""

    code = "permanent"


class BlockedError(HandoffdError):
    """A person has to act first; ``hint`` says how."""

    code = "blocked"


class Fenced(HandoffdError):
    """Our claim was taken over or the page moved on: stop and write nothing more."""

    code = "fenced"


class CancelledRun(HandoffdError):
    """The task was cancelled (or taken back) on the board while it ran."""

    code = "cancelled"
