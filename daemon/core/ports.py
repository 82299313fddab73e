"""What the tick and the engine need of the outside, as Protocols; the composition root fills them.

Shipped fakes (``daemon.testing``) pass the same contract tests as the real ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from daemon.core.claim import Claim, Verify
from daemon.core.evidence import Evidence, Judged
from daemon.core.status import Status
from daemon.core.task import Draft, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardInfo:
    """What the board turned out to be at the first contact."""

    title: str
    url: str
    data_source_id: str
    """32 hex digits."""
    bound: Mapping[str, str]
    """Key of contract.md §3 → property name on the board."""
    missing: tuple[str, ...]
    """Optional keys without a property; what they serve is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWrite:
    """One write to a claimed page. None = leave that property alone."""

    status: Status | None = None
    result: str | None = None
    why: str | None = None
    report: str | None = None
    attempts: int | None = None
    claim: Claim | None = None


class Board(Protocol):
    """The tasks database. Every method raises a HandoffdError; an error is never an empty answer."""

    def open(self) -> BoardInfo:
        """Connect, resolve ids, bind and check the schema. ConfigError lists all that is wrong."""

    def look(self) -> list[Task]:
        """All tasks that are Ready, In Progress or Waiting: one query, all pages."""

    def get(self, task_id: str) -> Task:
        """One task, read fresh. NotFound when it is gone, trashed or not shared."""

    def list(self, status: Status | None = None) -> list[Task]:
        """All tasks, or those with one status, newest first."""

    def claim(self, task: Task, claim: Claim, attempts: int) -> Task:
        """One write: In Progress, claim, attempts, empty Why. Fenced when the page is not Ready any more
        or carries a claim of another hold with the same or a later generation."""

    def claim_in_time(
        self, task: Task, claim: Claim, attempts: int, verify: Verify, over: Claim | None = None
    ) -> Task:
        """``claim`` for a board without a common store: reads the page, writes once, and returns only when
        the claim was on the page within ``verify.in_time`` of that read. The page must still carry the
        generation that the claim names as its base. It may be written over ``over``, a
        claim that has lapsed, on a page that is In Progress. Fenced: not written. Any other error: it may
        stand or come to stand, and must not be used."""

    def write(self, task_id: str, held: Claim, change: PageWrite) -> Task:
        """Write only while the page still carries ``held`` (Fenced otherwise); a status that a person set
        meanwhile is left alone. Doing it twice changes nothing."""

    def note(self, task_id: str, *, why: str, status: Status | None = None) -> None:
        """Set Why (and for a refusal the status) on a page that is Ready; does nothing on any other."""

    def set_status(self, task_id: str, status: Status) -> Task:
        """A person's change, made through the CLI or the dashboard."""

    def body(self, task_id: str) -> str:
        """The text that people wrote below the page's properties, without our own section; bounded, and what
        is left out is said in it. NotFound when the page is gone."""

    def section(self, task_id: str, run_id: str, markdown: str) -> None:
        """Put ``markdown`` into our marked section of the page body, replacing what stood there; text
        outside the markers is untouched."""

    def create(self, draft: Draft) -> Task:
        """Create a task; with a source key, find it first. Twice with one key gives one page."""

    def comment(self, task_id: str, key: str, text: str) -> None:
        """Comment once per ``key`` on the page."""

    def calls(self) -> Mapping[str, int]:
        """Board calls since the start, by purpose (look, claim, finish, …), for metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """All that a report is rendered from: recorded data only. Times are epoch seconds."""

    kind: str
    run: str
    task: Task
    handler: str
    host: str
    version: str
    generation: int
    attempt: int
    started: float
    ended: float
    outcome: str
    """Name of the outcome in lower case: done, delivered, failed …"""
    status: str
    """Status that the page gets, in canonical spelling; "" = left to the person."""
    summary: str
    why: str
    data: Mapping[str, Any]
    judged: Sequence[Judged]
    evidence: Sequence[Evidence]
    steps: Sequence[Mapping[str, Any]]
    """{"name", "state", "attempts", "started", "seconds", "error"} in order."""
    files: Sequence[Mapping[str, Any]]
    """{"path", "sha256", "bytes"} of what the run made."""
    follow_ups: Sequence[Mapping[str, Any]]
    """{"task", "title", "key", "priority", "handler", "created"} — created False: it was there already."""
    previous: Sequence[Mapping[str, Any]] = ()
    """Earlier ended runs of the same handler, newest first: {"run", "seconds", "state", "ended"}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A report on disk, and what of it goes on the page."""

    folder: Path
    markdown: Path
    html: Path
    evidence: Path
    section: str
    """Bounded Markdown summary for the page's section."""
    link: str
    """What the page's Report property gets: a URL when the dashboard is on, else the file's path."""


class Reports(Protocol):
    """Renders bundles to files. Idempotent: the same bundle gives the same folder and bytes."""

    def render(self, bundle: Bundle) -> Rendered:
        """Write report.md, report.html and evidence.json atomically and bring the index up to date."""
