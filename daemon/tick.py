"""One tick: reconcile → read → decide → record → claim → start → publish.

An error in one task stays in that task. An error in reading the board ends the tick as *unknown*: the last
decisions stand, nothing is claimed, and the snapshot says so (incident AT-2: the predecessor took a failed
read for "all tasks complete").
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from daemon.core import order, rest
from daemon.core.backoff import CLOCK_SLACK_S
from daemon.core.claim import Claim, Verify, over
from daemon.core.errors import ConfigError, Fenced, HandoffdError
from daemon.core.fleet import HostFacts
from daemon.core.gates import (
    Call,
    Decision,
    HandlerFacts,
    Known,
    after_trial,
    decide,
    queued,
    unreadable,
    unwritten,
    waited,
)
from daemon.core.ids import run_id
from daemon.core.ports import Board, BoardInfo
from daemon.core.routing import Route, route
from daemon.core.snapshot import HandlerRecord, Snapshot
from daemon.core.status import RunState, Status
from daemon.core.task import Task
from daemon.observability.events import board_trouble
from daemon.pauses import Pauses
from daemon.prerequisites import Prerequisites
from daemon.reconcile import Policy, Reconcile
from daemon.recovery import Runs
from daemon.rivals import Rivals, candidates
from daemon.sdk import Log
from daemon.store import Run, Store

NOTES_A_TICK = 20
"""Why lines written to pages in one tick at most; the rest follow in the next ones. Claims come first."""

ONE_CALL = 100
"""Rows that one call to the board brings: so few are looked at anew for every free place."""

MINUTE_S = 60.0
"""The resolution of the board's times."""

OTHERS_WORD_S = 120.0
"""How long the word of a host that can do a task stands against "another host can" of one that can't: each
host says its word anew at least once a minute."""


class Handlers(Protocol):
    """What the tick asks of the registry."""

    def facts(self) -> Mapping[str, HandlerFacts]:
        """Name → what the gates need to know."""

    def param_error(self, handler: str, parameters: str) -> str | None:
        """What is wrong with a task's Parameters, None = nothing."""

    def found(self) -> Sequence[HandlerRecord]:
        """Every handler found, for the snapshot."""


class Tick:
    """Holds what one tick leaves for the next: the last snapshot and what is known of prerequisites.

    ``trouble``: the event of an outage that was on record when the daemon started, "" = none.
    """

    def __init__(
        self,
        *,
        board: Board,
        store: Store,
        runs: Runs,
        handlers: Handlers,
        policy: Callable[[], Policy],
        clock: Callable[[], float],
        log: Log,
        info: BoardInfo | None = None,
        trouble: str = "",
        fleet: Callable[[], Sequence[HostFacts]] = lambda: (),
        needs: Callable[[str, Task], frozenset[str]] = lambda handler, task: frozenset(),
        fates: Callable[[str], Sequence[str]] = lambda run: (),
        nonce: Callable[[], str] = lambda: secrets.token_hex(6),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._store = store
        self._runs = runs
        self._handlers = handlers
        self._policy = policy
        self._clock = clock
        self._log = log
        self._nonce = nonce
        self._monotonic = monotonic
        self._rivals = Rivals()
        self._fleet = fleet
        self._needs = needs
        self._reconcile = Reconcile(
            board=board, store=store, runs=runs, clock=clock, log=log, monotonic=monotonic, fates=fates
        )
        self._pauses = Pauses(store=store, log=log)
        self._facts: Mapping[str, HandlerFacts] = {}
        self._prerequisites = Prerequisites(board)
        self._recorded: dict[str, float] = {}
        self._noted: dict[str, tuple[str, str]] = {}
        self._sights: dict[str, rest.Sight] = {}
        self._trouble = trouble
        self._store_trouble = ""
        self.draining = False
        self.snapshot = Snapshot(
            started_at=clock(), at=clock(), looked_at=None, board_error="", next_tick=None, board=info
        )

    def run(self) -> Snapshot:
        """One tick. Never raises a HandoffdError: what went wrong is in the snapshot."""
        return self._whole(self._look)

    def fill(self) -> Snapshot:
        """A place is free between two looks. On a long board what the last look found is decided about again,
        and no page is read but those that are claimed; a look itself where it costs one call, or is due."""
        seen, policy = self.snapshot, self._policy()
        stale = seen.looked_at is None or self._clock() - seen.looked_at >= policy.interval
        blind = bool(seen.board_error or seen.store_error) or policy.verify is not None
        return self._whole(self._look if stale or blind or len(seen.tasks) <= ONE_CALL else self._fill)

    def _whole(self, part: Callable[[Policy, float], Snapshot]) -> Snapshot:
        policy = self._policy()
        began = self._clock()
        try:
            snapshot = part(policy, began)
        except HandoffdError as error:  # the board's troubles are told apart before: this is the store's
            return self._unkept(error, policy, began)
        if self._store_trouble:
            self._store_trouble = ""
            self._log.info("store.back")
            self._store.event("store.back")
        return snapshot

    def _unkept(self, error: HandoffdError, policy: Policy, began: float) -> Snapshot:
        """What was decided can't be kept, so nothing more is begun. Said once for each kind in a row."""
        if self._store_trouble != error.message:
            self._store_trouble = error.message
            self._log.error("store.failed", error=error.one_line(), code=error.code)
        return self._publish(policy, began, store_error=error.one_line())

    def _look(self, policy: Policy, began: float) -> Snapshot:
        self._reconcile.fence(policy)
        try:
            tasks = self._board.look()
        except HandoffdError as error:
            return self._blind(error, policy, began)
        if self._trouble:
            self._trouble = ""
            self._log.info("board.back")
            self._store.event("board.back")
        self._reconcile.run({t.id: t for t in tasks}, policy)
        decisions = self._act(tasks, policy, began, fresh=True)
        return self._publish(policy, began, tasks=tuple(tasks), decisions=decisions, looked_at=began)

    def _fill(self, policy: Policy, began: float) -> Snapshot:
        seen = self.snapshot
        latest = self._store.latest_runs([t.id for t in seen.tasks])
        taken = {i for i, run in latest.items() if run.started >= (seen.looked_at or 0.0)}
        decisions = self._act([t for t in seen.tasks if t.id not in taken], policy, began, fresh=False)
        stand = [d for i, d in seen.decisions.items() if i in taken]
        return self._publish(policy, began, decisions=[*stand, *decisions])

    def _act(self, tasks: Sequence[Task], policy: Policy, began: float, *, fresh: bool) -> list[Decision]:
        """Decide → claim → start → record. ``fresh``: the board showed ``tasks`` just now."""
        decisions = self._decide(tasks, policy, began)
        claimed = 0
        if not self.draining:
            by_id = {t.id: t for t in tasks}
            decisions, claimed = self._dispatch(decisions, by_id, policy, fresh=fresh)
        self._record(decisions)
        self._log.debug(
            "tick.finished", ready=len(decisions), claimed=claimed, duration_s=round(self._clock() - began, 3)
        )
        return decisions

    def _blind(self, error: HandoffdError, policy: Policy, began: float) -> Snapshot:
        """The board could not be read. Said once for each kind of trouble in a row. What was Ready when it
        last could be read is told when only a person can end the trouble: nothing else would tell it."""
        event = board_trouble(error)
        if event != self._trouble:
            self._trouble = event
            self._log.warning(event, error=error.one_line(), code=error.code)
            self._store.event(event, error=error.one_line(), code=error.code)
        if not isinstance(error, ConfigError):
            return self._publish(policy, began, board_error=error.one_line())
        active = {r.task for r in self._store.active_runs()}
        known = [d for d in self.snapshot.decisions.values() if d.task_id not in active]
        next_look = began + policy.interval
        said = "; ".join((error.message, *error.problems))
        held = [unreadable(d, said, error.hint, began, next_look) for d in known]
        self._record(held)
        decisions = {d.task_id: d for d in held}
        self.snapshot = replace(self.snapshot, decisions=decisions)
        return self._publish(policy, began, board_error=error.one_line())

    def watch(self) -> None:
        """Between two ticks: stop what a person has cancelled or given to another agent meanwhile."""
        self._reconcile.watch(self._policy())

    # ── decide ────────────────────────────────────────────────────────────────────────────────────

    def _decide(self, tasks: Sequence[Task], policy: Policy, now: float) -> list[Decision]:
        since = self._since(tasks)
        under_way = self._store.active_runs()
        active = {r.task: r.run for r in under_way}
        lapsed: dict[str, bool] = {}
        if policy.verify is not None:
            lapsed = self._rivals.look(tasks, active, policy.lease, self._monotonic())
        ready = sorted(
            (t for t in candidates(tasks, lapsed) if t.status is Status.READY),
            key=lambda t: order.key(t, waited(since.get(t.id), now), policy.ageing),
        )
        latest = self._store.latest_runs([t.id for t in ready])
        facts = self._facts = self._pauses.applied(self._handlers.facts(), under_way, policy, now)
        hosts = tuple(self._fleet())
        known_anywhere = {*facts, *(name for h in hosts for name in h.handlers)}
        routes = {t.id: route(t, policy.routes, known_anywhere) for t in ready}
        completed, unmet = self._prerequisites.known(ready, tasks, now)
        known = Known(
            now=now,
            next_tick=now + policy.interval,
            handlers=facts,
            here=policy.handlers_here,
            me=policy.host,
            hosts=hosts,
            needs={t.id: self._needs(routes[t.id].handler, t) for t in ready} if hosts else {},
            active={i: r for i, r in active.items() if i in routes},
            retry_at={i: due for i, r in latest.items() if (due := _retry_at(r, now)) is not None},
            completed=completed,
            unmet=unmet,
            param_errors=self._param_errors(ready, routes),
            foreign=(
                self._foreign(ready, tasks, now)
                if policy.verify is None
                else {t.id: t.claim.owner for t in ready if t.claim and lapsed.get(t.id) is False}
            ),
            resting=self._resting(ready, policy, now),
        )
        return [decide(t, routes[t.id], known, since) for t in ready]

    def _since(self, tasks: Sequence[Task]) -> dict[str, tuple[str, float]]:
        """Task id → its last gate and since when: of the tick before, or of the process before. A page that
        was edited since may have been taken back in between: its wait begins anew."""
        if self.snapshot.looked_at is not None:
            return {d.task_id: (d.gate, d.since) for d in self.snapshot.decisions.values()}
        kept = self._store.decisions()
        edited = {t.id: t.edited.timestamp() for t in tasks}
        return {
            i: (d.gate, d.since) for i, d in kept.items() if edited.get(i, float("inf")) < d.at + MINUTE_S
        }

    def _resting(self, ready: Sequence[Task], policy: Policy, now: float) -> dict[str, float]:
        self._sights = {t.id: rest.sight(t, self._sights.get(t.id), now) for t in ready}
        return rest.resting({t.id: t for t in ready}, self._sights, policy.rest, now)

    def _param_errors(self, ready: Sequence[Task], routes: Mapping[str, Route]) -> dict[str, str]:
        found = ((t.id, self._handlers.param_error(routes[t.id].handler, t.parameters)) for t in ready)
        return {i: wrong for i, wrong in found if wrong is not None}

    def _foreign(self, ready: Sequence[Task], tasks: Sequence[Task], now: float) -> dict[str, str]:
        """Another store with a live claim on this board: nothing is claimed beside it."""
        others = {
            t.claim.owner
            for t in tasks
            if t.claim and t.claim.store != self._store.id and t.claim.lease_until_ms / 1000 > now
        }
        return dict.fromkeys((t.id for t in ready), ", ".join(sorted(others))) if others else {}

    # ── record, claim, start ──────────────────────────────────────────────────────────────────────

    def _dispatch(
        self, decisions: list[Decision], by_id: Mapping[str, Task], policy: Policy, *, fresh: bool
    ) -> tuple[list[Decision], int]:
        busy = sum(
            policy.mine(r.host) and r.state in (RunState.CLAIMING, RunState.RUNNING)
            for r in self._store.active_runs()
        )
        places, ahead, claimed, out = policy.concurrency - busy, 0, 0, []
        trying: set[str] = set()
        for decision in decisions:
            if decision.verdict is not Call.DISPATCH:
                out.append(decision)
                continue
            facts = self._facts[decision.handler]
            if facts.paused_until is not None and decision.handler in trying:
                out.append(after_trial(decision, facts, decision.at + policy.interval))
                continue
            if places <= 0:
                next_look = decision.at + policy.interval
                out.append(queued(decision, ahead, policy.concurrency, next_look))
                ahead += 1
                continue
            task = by_id[decision.task_id]
            try:
                taken = (fresh or self._stands(task)) and self._claim(task, decision, policy)
            except HandoffdError as error:
                self._log.warning("claim.failed", task_id=task.id, error=error.one_line())
                taken = True  # the row stands; the next tick finishes the claim or gives it back
                decision = unwritten(decision, error.one_line(), decision.at + policy.interval)
            places -= taken
            claimed += taken
            if taken:
                trying.add(decision.handler)
            out.append(decision)
        return out, claimed

    def _stands(self, task: Task) -> bool:
        """Whether the page is still as it was decided about; what has changed waits for the next look."""
        page = self._board.get(task.id)
        return replace(page, by_person=task.by_person) == task

    def _claim(self, task: Task, decision: Decision, policy: Policy) -> bool:
        latest = self._store.latest_runs([task.id]).get(task.id)
        if latest is not None and not self._still_free(task, latest):
            return False
        generation = 1 + max(latest.generation if latest else 0, task.claim.generation if task.claim else 0)
        now = self._clock()
        claim = Claim(
            owner=f"{self._store.id}/{policy.host}",
            generation=generation,
            nonce=over(self._nonce(), task.claim) if policy.verify else self._nonce(),
            lease_until_ms=int((now + policy.lease) * 1000),
        )
        run = Run(
            run=run_id(task.id, generation),
            task=task.id,
            generation=generation,
            attempt=_attempt_after(latest),
            handler=decision.handler,
            host=policy.host,
            state=RunState.CLAIMING,
            claim=claim.text(),
            title=task.title,
            page=msgspec.to_builtins(task),
            started=now,
        )
        if not self._store.begin_run(run):
            return False  # a stale read of a page that is already claimed: the row admits one
        if policy.verify is not None:
            return self._stake(run, task, claim, policy.verify)
        try:
            page = self._board.claim(task, claim, run.attempt)
        except Fenced as error:
            self._reconcile.recovery.release(run, error.one_line())
            return False
        self._reconcile.recovery.start(run, page)
        return True

    def _stake(self, run: Run, task: Task, claim: Claim, verify: Verify) -> bool:
        """Claim beside daemons that share no store. A claim that was not proved in time is never used."""
        lapsed = task.claim if task.status is Status.IN_PROGRESS else None
        try:
            self._board.claim_in_time(task, claim, run.attempt, verify, lapsed)
        except HandoffdError as error:
            self._reconcile.recovery.release(run, error.one_line())
            return False
        self._reconcile.recovery.settle(run, verify)
        return True

    def _still_free(self, task: Task, latest: Run) -> bool:
        """Whether the page may be claimed although the store knows an attempt: our look may be older than
        it, and another host may have claimed the task, or ended it, since."""
        if not latest.state.final:
            return False
        seen = task.claim.generation if task.claim else 0
        if latest.generation <= seen:
            return True
        page = self._board.get(task.id)
        known = page.claim.generation if page.claim else 0
        return page.status is task.status and known <= latest.generation

    def _record(self, decisions: Sequence[Decision]) -> None:
        before = self.snapshot.decisions
        news = [
            d
            for d in decisions
            if _differs(before.get(d.task_id), d)
            or d.at - self._recorded.get(d.task_id, float("-inf")) > MINUTE_S
        ]
        self._store.record_decisions(self._worth_saying(news))
        fresh = {d.task_id: d.at for d in news}
        self._recorded = {d.task_id: fresh.get(d.task_id) or self._recorded[d.task_id] for d in decisions}
        notes = 0
        for decision in decisions:
            said = (decision.gate, decision.why_line())
            if not decision.on_page or self._noted.get(decision.task_id) == said or notes >= NOTES_A_TICK:
                continue
            status = Status.BLOCKED if decision.verdict is Call.REFUSE else None
            try:
                self._board.note(decision.task_id, why=decision.why_line(), status=status)
            except HandoffdError as error:
                self._log.warning("note.failed", task_id=decision.task_id, error=error.one_line())
                continue
            notes += 1
            self._noted[decision.task_id] = said
            self._store.event(
                f"task.{'refused' if status else 'held'}",
                task=decision.task_id,
                gate=decision.gate,
                reason=decision.reason,
            )
            if status:
                self._log.info("task.refused", task_id=decision.task_id, gate=decision.gate)
        # What is not Ready any more may come back with the same trouble and must be told again.
        seen = {d.task_id for d in decisions if d.verdict is not Call.REFUSE}
        self._noted = {i: said for i, said in self._noted.items() if i in seen}

    def _worth_saying(self, news: list[Decision]) -> list[Decision]:
        """``news`` less what another host knows better: "that host takes it" says less than its own word."""
        if not any(d.gate == "host" for d in news):
            return news
        said = self._store.decisions()
        return [
            d
            for d in news
            if d.gate != "host"
            or d.task_id not in said
            or said[d.task_id].gate == "host"
            or d.on_page
            or d.at - said[d.task_id].at > OTHERS_WORD_S
        ]

    def _publish(self, policy: Policy, began: float, **news: Any) -> Snapshot:
        news = {"store_error": "", **news}
        if "decisions" in news:
            news["decisions"] = {d.task_id: d for d in news["decisions"]}
            news |= {"board_error": ""}
        self.snapshot = replace(
            self.snapshot,
            at=self._clock(),
            next_tick=began + policy.interval,
            running=tuple(self._runs.working()),
            places=policy.concurrency,
            handlers=tuple(self._pauses.shown(self._handlers.found())),
            draining=self.draining,
            ticks=self.snapshot.ticks + 1,
            board_calls=dict(self._board.calls()),
            **news,
        )
        return self.snapshot


def _retry_at(latest: Run, now: float) -> tuple[float, str] | None:
    """When the next attempt may start, and why not before. None = at once: it waits for nothing, or the clock
    has been put back behind the end of the last attempt, and nobody can say how long ago that was."""
    if latest.state is not RunState.RETRYING or latest.retry_at is None:
        return None
    if latest.ended is not None and latest.ended > now + CLOCK_SLACK_S:
        return None
    return latest.retry_at, latest.why


def _attempt_after(latest: Run | None) -> int:
    """Retries go on counting; a person's Ready after an end starts anew; a Snooze does not count, nor
    what was done and could not all be proved yet."""
    if latest is None or latest.state is not RunState.RETRYING:
        return 1
    return latest.attempt if latest.outcome in ("snooze", "done") else latest.attempt + 1


def _differs(before: Decision | None, now: Decision) -> bool:
    if before is None:
        return True
    same = ("verdict", "gate", "reason", "would_change", "handler")
    return any(getattr(before, f) != getattr(now, f) for f in same)
