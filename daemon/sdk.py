"""All that a handler may import.

A handler is a class with a ``name``, a ``Params`` type and ``run(task, params, ctx) -> Outcome``. It never
touches the board and never sees the engine. It does outside work inside ``ctx.step`` (durable: a finished
step is not done again after a crash), records what it measured with ``ctx.evidence``, and returns a value.
The daemon judges the gates that the handler declares over that evidence, and only then writes a status.

Rules for ``run``: it may be replayed from the top after a crash. Everything that reads a clock, a file, the
network or a random number belongs inside a step; the code between steps must do the same thing each time.
A step looks whether its effect is already there, then acts. New steps go at the end.

docs/handlers.md has a whole handler in 24 lines; a test builds, installs and runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from daemon.core.errors import (
    AuthError,
    BlockedError,
    CancelledRun,
    ConfigError,
    HandoffdError,
    NotFound,
    PermanentError,
    TransientError,
    Unreachable,
)
from daemon.core.evidence import Evidence, Gate, GateResult, Judged, all_ok, files_of
from daemon.core.ids import normalise
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
from daemon.core.status import Status
from daemon.core.task import Draft, Priority, Task
from daemon.core.text import one_line, slug, visible

__all__ = [
    "AuthError",
    "Blocked",
    "BlockedError",
    "Cancelled",
    "CancelledRun",
    "Check",
    "ChildResult",
    "ConfigError",
    "Context",
    "Delivered",
    "Done",
    "Draft",
    "Evidence",
    "Failed",
    "Gate",
    "GateResult",
    "Handler",
    "HandoffdError",
    "Judged",
    "Log",
    "NeedsReview",
    "NoSettings",
    "NotFound",
    "OpenTask",
    "Outcome",
    "PermanentError",
    "Priority",
    "Retry",
    "Row",
    "Rows",
    "RunInfo",
    "RunRecord",
    "Snooze",
    "Status",
    "StepRetry",
    "Task",
    "TransientError",
    "Unreachable",
    "all_ok",
    "files_of",
    "handler",
    "normalise",
    "one_line",
    "slug",
    "visible",
]

T = TypeVar("T")
H = TypeVar("H", bound=type)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """The attempt that a handler works for. ``started``: UTC; the same value on every replay."""

    id: str
    task_id: str
    generation: int
    attempt: int
    """1 for the first try of this claim; grows with Retry, not with Snooze."""
    started: datetime
    host: str
    attempts: int = 3
    """How many there are in all; what still fails in the last one is parked as Failed."""

    @property
    def last(self) -> bool:
        """No attempt follows this one: a handler may settle for less, or say more of what it found."""
        return self.attempt >= self.attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A past or present attempt, as recorded. Times are epoch seconds."""

    run: str
    task: str
    title: str
    handler: str
    state: str
    started: float
    ended: float | None
    result: str
    report: str
    gates: tuple[Judged, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRetry:
    """How a step that raises TransientError is tried again inside the attempt. Times in seconds."""

    attempts: int = 3
    first: float = 1.0
    ceiling: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildResult:
    """How a child process ended. ``ended`` is exit | timeout | silence | cancelled | output.

    ``stdout`` and ``stderr`` hold at most the last ``keep`` bytes, decoded; ``cpu_s`` is user + system time
    of the child and what it waited for.
    """

    argv: tuple[str, ...]
    returncode: int
    ended: str
    stdout: str
    stderr: str
    wall_s: float
    cpu_s: float
    why: str = ""
    """What was measured when it was stopped for its silence."""

    @property
    def ok(self) -> bool:
        """It ended by itself with code 0."""
        return self.ended == "exit" and self.returncode == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of ``handoffd doctor``. ``state``: ok | warn | broken; ``fix`` says the exact next action."""

    name: str
    state: str
    message: str
    fix: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a further database. ``id``: 32 hex digits. ``values``: by key; text "", number None, list []
    when empty; only keys that the database has a property for."""

    id: str
    url: str
    values: Mapping[str, Any]


class Rows(Protocol):
    """A further database that the settings name, over the board's own connection and budget. Every method
    calls the board and belongs inside a step; all raise HandoffdError only. No schema is ever changed."""

    @property
    def title(self) -> str:
        """What the database is called. ConfigError when it is not there or not shared."""

    @property
    def keys(self) -> frozenset[str]:
        """Keys that it has a property for."""

    def find(self, any_of: Mapping[str, str]) -> list[Row]:
        """Rows where the text of one of the keys contains the given text, oldest first. What is found is a
        candidate: compare before you take it. Keys without a property and empty texts are left out."""

    def first(self, where: Mapping[str, bool], limit: int, skip: Callable[[Row], bool]) -> list[Row]:
        """The oldest ``limit`` rows that ``skip`` does not leave out. ``where``: checkbox → its state, other
        key → whether it has a value. ConfigError for a key without a property."""

    def read(self, row: str) -> Row:
        """One row, now. NotFound when it is gone."""

    def create(self, by: str, values: Mapping[str, Any]) -> Row:
        """The row whose text ``by`` equals ``values[by]``: found, else made. Twice gives one row."""

    def update(self, row: str, values: Mapping[str, Any]) -> Row:
        """Write what the row does not say yet, read it back, and give what is there then. An option that a
        select does not have is left out. PermanentError when the board shows something else afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTask:
    """A task that stands still or goes wrong, and why: the decision that was recorded for it."""

    id: str
    title: str
    gate: str
    reason: str


class Log(Protocol):
    """A structured logger: a stable dotted event name and fields. Ids of the run are bound already."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class Context(Protocol):
    """What the daemon gives a handler for one attempt."""

    @property
    def run(self) -> RunInfo:
        """The attempt."""

    @property
    def settings(self) -> Any:
        """An instance of the handler's own ``Settings``."""

    @property
    def home(self) -> Path:
        """The home folder: default place of everything that has no path in the settings."""

    @property
    def workdir(self) -> Path:
        """A private folder of this run, mode 0700, removed after the end."""

    @property
    def log(self) -> Log:
        """Logger with the run's ids."""

    @property
    def cancelled(self) -> bool:
        """True once a person cancelled the task, or the daemon is told to stop this run."""

    def step(self, name: str, fn: Callable[..., T], *args: Any, retry: StepRetry | None = None) -> T:
        """Run ``fn`` once, durably, and give back its result: after a crash a finished step is not run again.

        The result must be JSON, or a dataclass / msgspec type named in ``fn``'s return annotation; it is
        kept in the store, so no secrets. TransientError is tried again under ``retry``; other errors leave
        the step at once. Raises CancelledRun before it begins when the run was cancelled.
        """

    def evidence(
        self, gate: str, kind: str, subject: str, ok: bool | None, data: Mapping[str, Any] | None = None
    ) -> None:
        """Record one measured fact for a gate. The same (gate, subject) twice in a run is recorded once."""

    def skip_gate(self, gate: str) -> None:
        """Say that a declared gate does not apply to this task."""

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Show how far it is: CLI, log and dashboard. Cheap; call it as often as there is news."""

    def follow_up(self, key: str, draft: Draft) -> str:
        """Create a task once: one ``key``, one page, ever. Returns its id. Durable; not inside a step.

        Raises BlockedError when the chain of follow-ups is too long or too many were made (docs/settings.md:
        run.follow_up_depth, run.follow_ups, run.follow_up_family).
        """

    def comment(self, key: str, text: str) -> None:
        """Put a comment on the task's page once per ``key``. Durable; not inside a step."""

    def body(self) -> str:
        """What people wrote on the task's page below its properties, as lines: bounded, without our own
        section, untrusted. Calls the board: inside a step."""

    def child(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        silence: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
        on_line: Callable[[str], None] | None = None,
        keep: int = 65536,
        max_file: int | None = None,
        max_memory: int | None = None,
        one_core: bool = False,
    ) -> ChildResult:
        """Run a program in its own process group, with limits, and wait for it. Inside a step.

        ``timeout`` and ``silence`` (neither output nor CPU time) in seconds; the group is killed when one is
        over, when the run is cancelled, and when the daemon dies (Linux). The environment is a short
        allow-list plus ``env``. ``on_line`` gets each line of stdout. ``max_file`` and ``max_memory`` in
        bytes are set as resource limits. ``one_core`` is for a program of threads that hand small pieces to
        each other (Linux): alone it has all cores, beside others of its kind each keeps to one, which takes
        less CPU time in all. Does not raise on failure: look at the result.
        """

    def history(
        self, since: datetime, until: datetime | None = None, *, handler: str = "", limit: int = 10_000
    ) -> list[RunRecord]:
        """Attempts that started in the span, oldest first, with their gates and evidence: of one ``handler``
        or of all, the newest ``limit`` of them. Inside a step."""

    def open_tasks(self, limit: int = 50) -> list[OpenTask]:
        """Other tasks of this handler that are not finished, as the last look at the board left them; costs
        no call of the board. Inside a step."""

    def rows(self, name: str) -> Rows | None:
        """A further database of the board, by its name in the settings (``tracks`` is
        ``board.tracks_database_id``); None when they name none. Calls nothing yet."""

    def secret(self, name: str) -> str | None:
        """A secret by its name in the contract, or None. Never put it in a step's result."""


class NoSettings:
    """For handlers that need none."""


class Handler(Protocol):
    """The shape of a handler class. Built-in ones register exactly as a third party's do."""

    name: ClassVar[str]
    """What the Handler property says."""
    Params: ClassVar[type]
    """Dataclass or msgspec Struct: the task's Parameters, checked before the claim."""
    Settings: ClassVar[type]
    """Dataclass or msgspec Struct: the section of the settings file named by ``section``."""
    section: ClassVar[str]
    """``music`` for a built-in one; ``handlers.<name>`` is the default."""
    gates: ClassVar[tuple[Gate, ...]]
    """What must be proved before the task may be called Completed."""
    report: ClassVar[str]
    """Kind of report: the folder below templates/reports."""
    time_limit: ClassVar[float]
    """Seconds that one attempt may take."""
    takeover: ClassVar[str]
    """What becomes of an attempt whose host is gone: ``resume`` (default) = another host goes on behind its
    last finished step: right when the steps' results are values. ``anew`` = the attempt ends and the next one
    starts from the top: right when a later step needs files that an earlier one left on the host. ``stay`` =
    it waits until its host is back: right when something outside works on it there."""
    refuses_past_due: ClassVar[bool]
    """True: a task whose due date has passed is blocked instead of run."""

    def run(self, task: Task, params: Any, ctx: Context) -> Outcome:
        """Do the work."""


def handler(cls: H) -> H:
    """Class decorator: fill in the defaults of a handler and check its shape.

    Also looked for, when present:

    - ``checks(settings, home) -> list[Check]``: its lines of doctor.
    - ``arrived(task, params, ctx) -> str | None``: asked every ``look_again`` seconds while the task is
      Waiting; looks only. A short text that identifies what is there now, None = nothing new.
    - ``resume(task, params, ctx) -> Outcome``: run durably, once for each arrival.
    - ``cancel(task, params, ctx)``: run once when the task is cancelled while it waits.
    - ``offers(settings, home) -> Iterable[str]``: what this host has for such tasks, as ``agent:codex``.
    - ``needs(task, params, settings) -> Iterable[str]``: what of that a task needs. Of several hosts on one
      store, only one that offers it all takes the task. Looks at its arguments only.

    Raises TypeError when something required is missing.
    """
    defaults: dict[str, Any] = {
        "Settings": NoSettings,
        "section": f"handlers.{getattr(cls, 'name', '')}",
        "gates": (),
        "report": "task",
        "time_limit": 3600.0,
        "refuses_past_due": False,
        "takeover": "resume",
    }
    for key, value in defaults.items():
        if not hasattr(cls, key):
            setattr(cls, key, value)
    missing = [key for key in ("name", "Params", "run") if not hasattr(cls, key)]
    if missing:
        raise TypeError(f"handler {cls.__name__} has no {', '.join(missing)}")
    if getattr(cls, "takeover") not in ("resume", "anew", "stay"):  # noqa: B009 - set above, mypy can't know
        raise TypeError(f"handler {cls.__name__}: takeover is resume, anew or stay")
    if hasattr(cls, "arrived") != hasattr(cls, "resume"):
        raise TypeError(f"handler {cls.__name__}: arrived() and resume() go together")
    return cls
