"""NotionBoard: the tasks database over the Notion API. Implements ``daemon.core.ports.Board``.

What it costs: 1 call for a look of up to 100 tasks; 2 for a short task (claim, finish) and 1 for its report's
section; one more each when the page was last seen more than ``seen.FRESH_S`` ago, or was worked on before.
All are counted by purpose in ``calls()``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from daemon.board import body, comments, creating, sections, staking, writing
from daemon.board.connect import Source
from daemon.board.databases import DATABASES
from daemon.board.doctor import propose
from daemon.board.pins import PinFile
from daemon.board.proposal import Proposal
from daemon.board.rows import BoardRows
from daemon.board.schema import Binding
from daemon.board.seen import Sight
from daemon.board.session import OnDrift, Session
from daemon.board.transport import OnCall, OnWait, Transport
from daemon.core import ids
from daemon.core.claim import Claim, Verify
from daemon.core.errors import Fenced, NotFound, PermanentError
from daemon.core.ports import BoardInfo, PageWrite
from daemon.core.status import OURS, Status
from daemon.core.task import Draft, Task
from daemon.sdk import Log
from daemon.settings.model import BoardSettings

LOOKED_FOR = (Status.READY, Status.IN_PROGRESS, Status.WAITING)
"""What a tick needs to see: what may start, and what is ours and may have been moved by a person."""

LATELY_S = 3600.0
"""Edits older than this are over, whatever ``claim.rest`` says: nobody is asked who made them."""


class NotionBoard:
    """The board of one token. All methods may be called from any thread; all raise HandoffdError only."""

    def __init__(
        self,
        settings: BoardSettings,
        token: str,
        *,
        clock: Callable[[], float],
        stop: threading.Event,
        log: Log,
        on_call: OnCall | None = None,
        on_wait: OnWait | None = None,
        on_drift: OnDrift | None = None,
        pins: PinFile | None = None,
        proxy: str = "",
        cautious: bool = False,
    ) -> None:
        """Connects to nothing yet. ``clock``: epoch seconds; ``stop``: once set, nothing waits any more;
        ``on_wait(seconds)``: after each wait for the rate budget; ``pins``: keeps ids over restarts;
        ``on_drift``: after each change of the schema that was followed.
        ``cautious``: every write reads its page first, as daemons without a common store need it.
        """
        self._settings = settings
        self._transport = Transport(
            settings, token, clock=clock, stop=stop, log=log, on_call=on_call, on_wait=on_wait, proxy=proxy
        )
        self._session = Session(
            settings, self._transport, clock=clock, log=log, pins=pins, on_drift=on_drift, cautious=cautious
        )
        self._creating = threading.Lock()
        self._clock = clock
        self._rows: dict[str, BoardRows] = {}

    @property
    def transport(self) -> Transport:
        """The way to the API, for set-up and doctor."""
        return self._transport

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def open(self) -> BoardInfo:
        """Connect, resolve ids, bind and check the schema. ConfigError lists all that is wrong."""
        with self._transport.operation():
            source, binding = self._session.open()
            self._session.editors.meet()
        return BoardInfo(
            title=source.title,
            url=source.url,
            data_source_id=source.id,
            bound={key: column.name for key, column in binding.columns.items()},
            missing=binding.missing,
        )

    def look(self) -> list[Task]:
        """All tasks that are Ready, In Progress or Waiting: one query, all pages, oldest first.

        A Ready row that was edited lately also says whether a person did that: one more call for an editor
        who is not known yet.
        """
        with self._transport.operation():
            self._session.check_schema()
            found = self._session.tasks_by(lambda binding: _any_of(binding, LOOKED_FOR), "look")
            return [replace(task, by_person=True) if self._typed_lately(task) else task for task in found]

    def _typed_lately(self, task: Task) -> bool:
        """A Ready row whose last edit is young enough to matter, and a person's."""
        if task.status is not Status.READY or self._clock() - task.edited.timestamp() > LATELY_S:
            return False
        return self._session.editors.person(task.edited_by)

    def get(self, task_id: str) -> Task:
        """One task, read fresh. NotFound when it is gone, trashed, moved or not shared."""
        wanted = _id(task_id)
        return self._session.settle(wanted, lambda b: self._session.fetch(wanted, b, "get").task)

    def list(self, status: Status | None = None) -> list[Task]:
        """All tasks, or those with one status, newest first."""

        def where(binding: Binding) -> dict[str, Any] | None:
            return None if status is None else _is(binding, status)

        with self._transport.operation():
            return self._session.tasks_by(where, "list", newest_first=True)

    def claim(self, task: Task, claim: Claim, attempts: int) -> Task:
        """One write: In Progress, claim, attempts, empty Why. Done already by this hold: nothing is written.

        Fenced when the page is not Ready any more, or carries a claim of another hold with the same or a
        later generation. Without a Claim property on the board only the status can be checked.
        """

        def act(binding: Binding) -> Task:
            def objection(page: Task) -> str:
                return _cannot_claim(page, claim)

            sight = self._confirmed(task.id, binding, objection)
            if _claimed_by(sight.task, claim):
                return sight.task
            if said := objection(sight.task):
                raise Fenced(said)
            payload = writing.claiming(binding, claim.text(), attempts)
            answered = self._session.patch(task.id, payload, binding, "claim")
            if answered.status is not Status.IN_PROGRESS or (
                binding.has("claim") and not claim.same_hold(answered.claim)
            ):
                raise Fenced(f"the board answered the claim of {task.id} with another status or claim")
            if binding.has("claim") and _untouched(sight.task) and claim.generation == 1:
                self._session.seen.claimed_bare(task.id, claim)
            return answered

        return self._session.guarded(task.id, act)

    def claim_in_time(
        self, task: Task, claim: Claim, attempts: int, verify: Verify, over: Claim | None = None
    ) -> Task:
        """As the port says. One read, one write, and a second read when the write's answer was lost."""
        return staking.stake(self._session, task.id, claim, attempts, verify, over)

    def write(self, task_id: str, held: Claim, change: PageWrite) -> Task:
        """Write what the page does not say yet, only while it carries ``held`` (Fenced otherwise).

        Once the hold has ended on the page (lease 0), its status and claim are not ours to change any more.
        A status that a person set meanwhile is left alone; the rest is written. Doing it twice changes
        nothing.
        """

        def act(binding: Binding) -> Task:
            def objection(page: Task) -> str:
                return _not_held(page, held, binding) or ("" if page.status in OURS else "moved")

            current = self._confirmed(task_id, binding, objection).task
            if said := _not_held(current, held, binding):
                raise Fenced(said)
            left = change
            if current.claim is not None and current.claim.lease_until_ms == 0:
                left = replace(change, status=None, claim=None)
            payload = writing.changes(binding, current, left, keep_status=current.status not in OURS)
            if not payload:
                return current
            answered = self._session.patch(task_id, payload, binding, "finish")
            proof = PageWrite(status=left.status, claim=left.claim)
            open_ = writing.changes(binding, answered, proof, keep_status=False)
            if set(open_) & set(payload):
                raise PermanentError(
                    f"the board took the write to {task_id} and still shows “{answered.status_name}”",
                    hint="an automation may set it back: look at the database's automations",
                )
            return answered

        return self._session.guarded(task_id, act)

    def note(self, task_id: str, *, why: str, status: Status | None = None) -> None:
        """Set Why (and for a refusal the status) on a page that is Ready; does nothing on any other."""

        def act(binding: Binding) -> None:
            def objection(page: Task) -> str:
                return "" if page.status is Status.READY else "moved"

            current = self._confirmed(task_id, binding, objection).task
            if current.status is not Status.READY or (current.why == why and status is None):
                return
            payload = writing.note(binding, why, status)
            if payload:
                self._session.patch(task_id, payload, binding, "note")

        self._session.guarded(task_id, act)

    def set_status(self, task_id: str, status: Status) -> Task:
        """A person's change, made through the CLI or the dashboard."""
        wanted = _id(task_id)

        def act(binding: Binding) -> Task:
            current = self._session.fetch(wanted, binding, "status").task
            if current.status is status:
                return current
            return self._session.patch(wanted, writing.status(binding, status), binding, "status")

        return self._session.guarded(wanted, act)

    def body(self, task_id: str) -> str:
        """The text that people wrote into the page, without our own section; see ``daemon.board.body``."""
        return body.read(self._transport, _id(task_id))

    def section(self, task_id: str, run_id: str, markdown: str) -> None:
        """Put ``markdown`` into our marked section of the page body, replacing what stood there."""
        wanted = _id(task_id)

        def act(_: Binding) -> None:
            bare = self._session.seen.take_bare(wanted)
            sections.put(self._transport, wanted, run_id, markdown, bare=bare)

        self._session.settle(wanted, act)

    def create(self, draft: Draft) -> Task:
        """Create a task; with a source key, find it first. Twice with one key gives one page.

        Raises Ambiguous when the answer was lost and the draft has no key to find it by.
        """
        with self._creating:
            return creating.create(self._session, draft)

    def comment(self, task_id: str, key: str, text: str) -> None:
        """Comment once per ``key`` on the page."""
        wanted = _id(task_id)
        self._session.settle(wanted, lambda _: comments.once(self._transport, wanted, key, text))

    def rows(self, name: str) -> BoardRows | None:
        """A further database by its name (``databases.DATABASES``); None when the settings name none. The
        same object each time; calls nothing yet."""
        database = {"tracks": self._settings.tracks_database_id}.get(name, "")
        if not database:
            return None
        with self._creating:
            if name not in self._rows:
                names = {"tracks": self._settings.tracks_properties}[name]
                self._rows[name] = BoardRows(
                    self._transport, name, database, DATABASES[name], names, clock=self._clock
                )
            return self._rows[name]

    def calls(self) -> Mapping[str, int]:
        """Board calls since the start, by purpose."""
        return self._transport.calls()

    def waited(self) -> float:
        """Seconds that calls waited for the rate budget since the start, summed over threads."""
        return self._transport.waited()

    def proposal(self) -> tuple[Source, Proposal]:
        """What a person should know of the database as it is now, bound or not. Changes nothing."""
        with self._transport.operation():
            source = self._session.resolve()
        return source, propose(
            source.properties,
            names=self._settings.properties,
            status_names=self._settings.status,
            pinned=self._session.recalled(source),
        )

    def _confirmed(self, task_id: str, binding: Binding, objection: Callable[[Task], str]) -> Sight:
        """The page as seen a moment ago; what speaks against acting is confirmed on the page itself, since
        queries may answer with an older state (research/notion.md §2.11)."""
        sight = self._session.sight(task_id, binding)
        if objection(sight.task) and not sight.direct:
            return self._session.fetch(task_id, binding, "readback")
        return sight


def _claimed_by(page: Task, claim: Claim) -> bool:
    return page.status is Status.IN_PROGRESS and claim.same_hold(page.claim)


def _cannot_claim(page: Task, claim: Claim) -> str:
    if _claimed_by(page, claim):
        return ""
    if page.status is not Status.READY:
        return f"{page.id} is “{page.status_name}” on the board, not Ready any more"
    other = page.claim
    if other is not None and not claim.same_hold(other) and other.generation >= claim.generation:
        return f"{page.id} carries a claim of {other.owner} with generation {other.generation}"
    return ""


def _untouched(page: Task) -> bool:
    """No attempt has ever left a trace on the page."""
    return page.claim is None and not (page.attempts or page.result or page.report)


def _not_held(page: Task, held: Claim, binding: Binding) -> str:
    if not binding.has("claim") or held.same_hold(page.claim):
        return ""
    now = f"one of {page.claim.owner}, generation {page.claim.generation}" if page.claim else "none"
    return f"{page.id} does not carry our claim (generation {held.generation}) any more, but {now}"


def _id(text: str) -> str:
    try:
        return ids.normalise(text)
    except ValueError as error:
        raise NotFound(str(error), hint="give a page's id or its URL") from error


def _is(binding: Binding, status: Status) -> dict[str, Any]:
    column = binding.columns["status"]
    return {"property": column.id, column.type: {"equals": binding.status_name(status)}}


def _any_of(binding: Binding, wanted: tuple[Status, ...]) -> dict[str, Any]:
    return {"or": [_is(binding, status) for status in wanted]}
