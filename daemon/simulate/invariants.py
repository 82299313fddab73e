"""What must hold after every change of a page and after every tick, whatever happens outside."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

from daemon.core import order
from daemon.core.errors import HandoffdError
from daemon.core.gates import QUEUED, Call, Decision, waited
from daemon.core.snapshot import Snapshot
from daemon.core.status import OURS, RunState, Status
from daemon.core.task import Task
from daemon.simulate.agenda import Agenda
from daemon.simulate.board import PERSON, SimulatedBoard
from daemon.simulate.host import Host

GRACE_S = 60.0
TRAIL = 20


class InvariantBroken(HandoffdError):
    """The simulation found a state that must never be. Says the seed and the last 20 events."""

    code = "simulation.invariant"


class Watch:
    """Looks at every change and every tick. ``checks`` counts what was checked, by name."""

    def __init__(self, seed: int, agenda: Agenda, board: SimulatedBoard, attempts: int) -> None:
        self._seed = seed
        self._agenda = agenda
        self._board = board
        self._attempts = attempts
        self.trail: deque[str] = deque(maxlen=TRAIL)
        self.checks: dict[str, int] = {}
        self.broken: InvariantBroken | None = None
        self._adrift: dict[str, float] = {}
        self._generation: dict[str, int] = {}

    def say(self, text: str) -> None:
        """A line of the trail."""
        at = datetime.fromtimestamp(self._agenda.now, UTC)
        self.trail.append(f"{at:%m-%d %H:%M:%S.%f}"[:-3] + f" {text}")

    def must(self, name: str, holds: bool, what: str) -> None:
        """Count the check; raise when it does not hold."""
        self.checks[name] = self.checks.get(name, 0) + 1
        if holds:
            return
        error = InvariantBroken(
            f"{name}: {what} (seed {self._seed})",
            hint="the same seed gives the same walk",
            problems=tuple(self.trail),
        )
        # The daemon's own code catches HandoffdErrors: the simulation must see it all the same.
        self.broken = self.broken or error
        raise error

    # ── every change of a page ────────────────────────────────────────────────────────────────────

    def change(self, who: str, before: Task | None, after: Task) -> None:
        """A page was written."""
        was = before.status_name if before else "new"
        held = f" g{after.claim.generation}" if after.claim else ""
        self.say(f"{who}: {after.id[-6:]} {was} → {after.status_name}{held}")
        if who == PERSON and after.claim is not None:
            # Also a write that the service applies long after its daemon gave it up: nobody's decision.
            self._generation[after.id] = after.claim.generation
        if who == PERSON or before is None:
            return
        moved = before.status is not after.status
        self.must(
            "only Ready is dispatched",
            not (moved and after.status is Status.IN_PROGRESS) or before.status is Status.READY,
            f"{after.id} went from {was} to In Progress",
        )
        self.must(
            "a final status stands",
            not moved or before.status in (Status.READY, *OURS),
            f"{after.id} was turned from {was} to {after.status_name}",
        )
        generation = after.claim.generation if after.claim else 0
        self.must(
            "generations only grow",
            after.claim is None or generation >= self._generation.get(after.id, 0),
            f"{after.id} went from generation {self._generation.get(after.id)} to {generation}",
        )
        self._generation[after.id] = max(generation, self._generation.get(after.id, 0))
        self.must(
            "attempts stay below the cap",
            after.attempts <= self._attempts,
            f"{after.id} has {after.attempts} attempts of {self._attempts}",
        )

    # ── every tick ────────────────────────────────────────────────────────────────────────────────

    def tick(self, host: Host, snapshot: Snapshot) -> None:
        """A tick has ended."""
        tasks = [r.task for r in host.store.active_runs()]
        self.must(
            "one active run per task",
            len(tasks) == len(set(tasks)),
            f"{host.name}: {sorted(tasks)} in the store",
        )
        if snapshot.board_error:
            self._adrift = {}
            return
        self._reasons(snapshot)
        self._order(snapshot, host.policy.ageing)
        self._owners(host)

    def _reasons(self, snapshot: Snapshot) -> None:
        for task in snapshot.tasks:
            if task.status is not Status.READY:
                continue
            decision = snapshot.decisions.get(task.id)
            said = decision is not None and bool(decision.reason)
            self.must("every Ready task has a reason", said, f"{task.id} has no decision")

    @staticmethod
    def _rank(task: Task, decision: Decision, ageing: float) -> tuple[object, ...]:
        return order.key(task, waited(("", decision.since), decision.at), ageing)

    def _order(self, snapshot: Snapshot, ageing: float) -> None:
        by_id = {t.id: t for t in snapshot.tasks}
        going, queued = [], []
        for decision in snapshot.decisions.values():
            if decision.verdict is Call.DISPATCH:
                going.append(self._rank(by_id[decision.task_id], decision, ageing))
            elif decision.gate == QUEUED:
                queued.append(self._rank(by_id[decision.task_id], decision, ageing))
        if going and queued:
            self.must(
                "the order is respected", max(going) < min(queued), "a later task went before an earlier"
            )

    def _owners(self, host: Host) -> None:
        """In Progress pages of this store: with a live attempt, or taken care of within lease + 60 s."""
        mine = {r.task: r.state for r in host.store.active_runs() if r.host == host.name}
        now, true = self._agenda.clock(), self._agenda.now
        adrift = {}
        for page in self._board.open_pages.values():
            if page.status is not Status.IN_PROGRESS or page.claim is None:
                continue
            if page.claim.owner != f"{host.store.id}/{host.name}" or page.claim.lease_until_ms == 0:
                continue  # the second: our claim has ended, a person took the task up
            # What waits for an answer has no process, and no beat: here a person has set In Progress.
            waits = mine.get(page.id) is RunState.WAITING
            alive = waits or (page.id in mine and page.claim.lease_until_ms / 1000 > now - GRACE_S)
            if not alive:
                adrift[page.id] = max(self._adrift.get(page.id, true), host.born)
            self.must(
                "no page In Progress without an owner",
                true - adrift.get(page.id, true) <= host.policy.lease + GRACE_S,
                f"{page.id} is In Progress, its claim {page.claim.text()} has no live attempt",
            )
        self._adrift = adrift
