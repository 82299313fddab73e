"""The first part of a tick: compare what runs with what the pages say, and repair what was cut short."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from daemon.core import claim as claims
from daemon.core.backoff import Backoff
from daemon.core.breaker import Breaker
from daemon.core.errors import Fenced, HandoffdError, NotFound
from daemon.core.ids import CANCEL, PARKED, REASSIGN, arrival_of, normalise
from daemon.core.ports import Board, PageWrite
from daemon.core.routing import Rule
from daemon.core.status import OURS, RunState
from daemon.core.task import Task
from daemon.recovery import BROKEN, Moved, Recovery, Runs
from daemon.sdk import Log
from daemon.store import Run, Store

AGEING_S = 4 * 3600.0

NOBODYS = BROKEN | {"", "ELSEWHERE"}
"""The engine's words for a workflow that no thread of this process carries out or will by itself."""

SETTLED_S = 2.0
"""A run is not watched between ticks before this age: most tasks are over by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings that a tick reads. Seconds."""

    host: str
    concurrency: int
    lease: float
    interval: float
    routes: tuple[Rule, ...] = ()
    handlers_here: frozenset[str] | None = None
    ageing: float = AGEING_S
    """Seconds of waiting for a place that lift a task by one priority class; 0 = priorities are strict."""
    breaker: Breaker = field(default_factory=Breaker)
    stall: float = 0.0
    """Seconds without both signs of life after which a run is stopped; 0 = never."""
    configured_at: float = 0.0
    """When the settings in force were read (epoch s)."""
    rest: float = 0.0
    """How long a person's edit keeps a Ready task from being claimed."""
    backoff: Backoff = field(default_factory=Backoff)
    alone: bool = False
    """Nobody else uses the store: every attempt in it is ours, also one made under another host name."""
    verify: claims.Verify | None = None
    """How claims are proved when other daemons share the board and no store; None = the store decides."""

    def mine(self, host: str) -> bool:
        """Whether an attempt that was claimed as ``host`` is this daemon's."""
        return self.alone or host == self.host


def _reassigned(run: Run, page: Task) -> Moved | None:
    """Whether the page names another agent or handler than when the attempt was claimed. Emptied, or not
    readable now, is no other."""
    known = [n for n in run.page.get("agents") or () if not _only_an_id(n)]
    now = [n for n in page.agents if not _only_an_id(n)]
    if known and now and set(known) != set(now):
        return Moved(f"it was reassigned from {', '.join(known)} to {', '.join(now)}", again=True)
    asked = str(run.page.get("handler") or "")
    if asked and page.handler and asked != page.handler:
        return Moved(f"its handler was changed from {asked} to {page.handler}", again=True)
    return None


def _leaving(run: Run) -> bool:
    """Whether it is being withdrawn or parked already: that must not be cut short by the very reason that it
    is done for."""
    return arrival_of(run.workflow or run.run, run.run) in (CANCEL, PARKED, REASSIGN)


def _only_an_id(name: str) -> bool:
    # What the board's client shows in place of a name that it may not read.
    try:
        normalise(name.removeprefix("page "))
    except ValueError:
        return False
    return True


class Reconcile:
    """Watches the attempts of this host, tick by tick."""

    def __init__(
        self,
        *,
        board: Board,
        store: Store,
        runs: Runs,
        clock: Callable[[], float],
        log: Log,
        monotonic: Callable[[], float],
        fates: Callable[[str], Sequence[str]] = lambda run: (),
    ) -> None:
        """``fates``: what was decided at each takeover of a run, oldest first."""
        self._board = board
        self._store = store
        self._runs = runs
        self._clock = clock
        self._log = log
        self._monotonic = monotonic
        self._confirmed: dict[str, float] = {}
        """Run → when this process last knew its claim to stand on the page; only without a common store."""
        self.recovery = Recovery(board=board, store=store, runs=runs, clock=clock, log=log, fates=fates)

    def run(self, by_id: Mapping[str, Task], policy: Policy) -> None:
        """Look at every attempt of this host that is not over. An error in one stays in that one."""
        for run in self._store.active_runs():
            if not policy.mine(run.host):
                continue
            try:
                match run.state:
                    case RunState.CLAIMING if policy.verify is not None:
                        self._watch_settling(run)
                    case RunState.CLAIMING:
                        self.recovery.repair_claim(run)
                    case RunState.RUNNING:
                        self._watch(run, by_id.get(run.task), policy)
                    case _:
                        self._watch_waiting(run, by_id.get(run.task))
            except HandoffdError as error:
                self._log.warning("reconcile.failed", run_id=run.run, error=error.one_line())

    def fence(self, policy: Policy) -> None:
        """Stop every run whose claim was not seen standing for a whole lease: another daemon may take its
        task soon. Needs no board. For daemons without a common store."""
        if policy.verify is None:
            return
        now = self._monotonic()
        running = [
            r.run for r in self._store.active_runs() if r.state is RunState.RUNNING and policy.mine(r.host)
        ]
        # What this process sees first may come from the one before: it is to be confirmed at once.
        self._confirmed = {r: self._confirmed.get(r, now - policy.lease / 2) for r in running}
        for run, since in self._confirmed.items():
            if now - since < policy.lease:
                continue
            reason = f"its claim could not be confirmed on the board for {policy.lease:g} s"
            if self._runs.cancel(run, reason):
                self._log.warning("task.cancelled", run_id=run, reason=reason)

    def _watch_settling(self, run: Run) -> None:
        """A claim that waits for its read-back belongs to its workflow; one without was cut short before it
        was proved, and is never used: what may stand of it on the page lapses."""
        if self._runs.state(run.run) in BROKEN | {""}:
            self.recovery.release(run, "the claim was cut short before it was proved: it lapses")

    def watch(self, policy: Policy) -> None:
        """Look at the pages of what works in this process, between two ticks: what a person has cancelled or
        given to another agent stops within seconds, however long the poll interval is."""
        working = set(self._runs.working())
        for run in self._store.active_runs():
            if run.run not in working or run.state is not RunState.RUNNING or _leaving(run):
                continue
            if self._clock() - run.started < SETTLED_S:
                continue
            try:
                self._stopped(run, self._moved_on(run, None), policy)
            except HandoffdError as error:
                self._log.warning("reconcile.failed", run_id=run.run, error=error.one_line())

    def _stopped(self, run: Run, moved: Moved | None, policy: Policy) -> bool:
        """Stop what the board does not want any more, or what hangs."""
        if moved is not None:
            if self._runs.cancel(run.run, moved.reason, again=moved.again):
                self._log.info(moved.event, run_id=run.run, reason=moved.reason)
                self._store.event(moved.event, task=run.task, run=run.run, reason=moved.reason)
            return True
        stalled = self._runs.stop_stalled(run.run, policy.stall)
        if stalled:
            self._log.warning("task.stalled", run_id=run.run, reason=stalled)
            self._store.event("task.stalled", task=run.task, run=run.run, reason=stalled)
        return False

    def _watch(self, run: Run, page: Task | None, policy: Policy) -> None:
        state = self._runs.state(run.workflow or run.run)
        moved = None if _leaving(run) else self._moved_on(run, page)
        if moved is not None and state in NOBODYS:
            self.recovery.withdraw(run, moved, state)
        elif not _leaving(run) and self._stopped(run, moved, policy):
            return
        elif state == "":
            self.recovery.resubmit(run)
        elif state == "ELSEWHERE":
            self.recovery.take_up(run, policy.backoff)
        elif state in BROKEN:
            self.recovery.give_up(run)
        else:
            self._beat(run, page, policy)

    def _moved_on(self, run: Run, page: Task | None) -> Moved | None:
        """Why the run should stop, None = it goes on. Looks at the page itself before it says so: a query's
        answer may be older than our own write."""
        held = claims.parse(run.claim)
        if page is not None and page.status in OURS and held is not None and held.same_hold(page.claim):
            return _reassigned(run, page)
        try:
            page = self.recovery.renamed(held, self._board.get(run.task))
        except NotFound as error:
            return Moved(f"the page is gone: {error.message}")
        if held is None or not held.same_hold(page.claim):
            return Moved("the page carries another claim")
        if page.claim is not None and page.claim.lease_until_ms == 0:
            return None  # the run has just written its own end
        if page.status in OURS:
            return _reassigned(run, page)
        return Moved(f"its status was set to {page.status_name or 'none'}")

    def _beat(self, run: Run, page: Task | None, policy: Policy) -> None:
        held = page.claim if page else None
        if policy.verify is not None:
            self._confirm(run, policy)
            return
        now = self._clock()
        if held is None or held.lease_until_ms == 0 or held.lease_until_ms / 1000 - now > policy.lease / 2:
            return
        renewed = replace(held, lease_until_ms=int((now + policy.lease) * 1000))
        self._board.write(run.task, held, PageWrite(claim=renewed))

    def _confirm(self, run: Run, policy: Policy) -> None:
        """The beat without a common store: a write that reads its page first, every half lease of this
        process's own time. A query's answer proves nothing: it may be older than a rival's claim."""
        held = claims.parse(run.claim)
        at = self._monotonic()
        if held is None or at - self._confirmed.get(run.run, float("-inf")) < policy.lease / 2:
            return
        until = int((self._clock() + policy.lease) * 1000)
        try:
            self._board.write(run.task, held, PageWrite(claim=replace(held, lease_until_ms=until)))
        except Fenced as error:
            self._runs.cancel(run.run, error.one_line())
            raise
        self._confirmed[run.run] = at

    def _watch_waiting(self, run: Run, page: Task | None) -> None:
        moved = self._moved_on(run, page)
        if moved is None:
            # What a person adds to the page while it waits is for whoever it waits for.
            # In the form that the store gives back, where tuples are lists: else each tick would write it.
            fresh = msgspec.json.decode(msgspec.json.encode(page)) if page is not None else run.page
            if fresh != run.page:
                self._store.change_run(run.run, only_in=[RunState.WAITING], page=fresh)
            return
        self.recovery.withdraw(run, moved)
