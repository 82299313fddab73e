"""A claim on a board that daemons share without a store: read, write, proof that it came in time.

What makes it safe is the short time between the read that found the page free and the moment when the claim
stood on it: a rival reads its own claim back only later than that (docs/claims.md has the argument).
"""

from __future__ import annotations

import time

from daemon.board import reading, writing
from daemon.board.schema import Binding
from daemon.board.session import Session
from daemon.core import ids
from daemon.core.claim import Claim, Verify, base_of
from daemon.core.errors import Ambiguous, ConfigError, Fenced
from daemon.core.status import Status
from daemon.core.task import Task

CALLS = 3
"""Read, write, and a read when the write's answer was lost."""


def stake(
    session: Session, task_id: str, claim: Claim, attempts: int, verify: Verify, over: Claim | None
) -> Task:
    """See ``Board.claim_in_time``. Nothing is repeated: a second write could land after the first."""

    def act(binding: Binding) -> Task:
        if not binding.has("claim"):
            raise ConfigError(
                'claim.mode = "verify" needs a Claim property on the board',
                hint="`handoffd doctor --apply` adds it",
            )
        with session.transport.places(CALLS, session.transport.patience()):
            return _Stake(session, binding, task_id, verify).take(claim, attempts, over)

    return session.adapt(act)


class _Stake:
    """One try, on the clock since its read was asked for."""

    def __init__(self, session: Session, binding: Binding, task_id: str, verify: Verify) -> None:
        self._session = session
        self._binding = binding
        self._task_id = task_id
        self._verify = verify
        self._began = time.monotonic()

    def take(self, claim: Claim, attempts: int, over: Claim | None) -> Task:
        page = self._call("readback", "GET", self._verify.call_timeout)
        if said := _taken(page, claim, over):
            raise Fenced(said)
        left = self._left(self._verify.call_timeout)
        if left <= 0:
            raise Fenced(f"the board was too slow to claim {self._task_id}: nothing was written")
        payload = writing.claiming(self._binding, claim.text(), attempts)
        try:
            answered = self._call("claim", "PATCH", left, {"properties": payload})
        except Ambiguous:
            answered = None
        if answered is None and self._left(self._verify.in_time) > 0:
            answered = self._call("readback", "GET", self._left(self._verify.in_time))
        if answered is None or self._left(self._verify.in_time) <= 0:
            raise Ambiguous(
                f"the claim of {self._task_id} was not seen on the page in time",
                hint="it is not used; if it stands there it lapses by itself",
            )
        if answered.status is not Status.IN_PROGRESS or not claim.same_hold(answered.claim):
            raise Ambiguous(f"the claim of {self._task_id} does not stand on the page")
        return answered

    def _left(self, seconds: float) -> float:
        return seconds - (time.monotonic() - self._began)

    def _call(self, purpose: str, method: str, seconds: float, body: dict[str, object] | None = None) -> Task:
        transport = self._session.transport
        with transport.within(seconds):
            path = f"pages/{ids.dashed(self._task_id)}"
            page = transport.call(purpose, method, path, body=body, repeat=False)
        if method == "GET":
            self._session.must_be_ours(page, self._task_id)
        return reading.task(page, self._binding, self._session.titles.of)


def _taken(page: Task, claim: Claim, over: Claim | None) -> str:
    """What speaks against claiming the page as it was just read, "" = nothing."""
    if over is not None:
        if page.status is Status.IN_PROGRESS and page.claim == over:
            return ""
        return f"{page.id} does not carry the lapsed claim any more"
    if page.status is not Status.READY:
        return f"{page.id} is “{page.status_name}” on the board, not Ready any more"
    other = page.claim
    if base_of(other) != claim.base:
        return f"{page.id} carries another claim than when it was decided to claim it"
    if other is not None and other.generation >= claim.generation:
        return f"{page.id} carries a claim of {other.owner} with generation {other.generation}"
    return ""
