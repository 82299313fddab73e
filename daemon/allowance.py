"""This host's part of the calls that hosts of one store may make with one token.

Each host has ``limit`` ÷ living hosts (daemon/core/fleet.py), reckoned anew at its beats. Nobody takes before
another has given: the parts never add up to more than the limit, not even while hosts come and go, so that
the service never has a reason to answer 429. A host that comes waits until the others have lowered theirs,
one window at the longest when they have just used them up, and begins with half of its part at the least.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from daemon.core.fleet import pace, share
from daemon.sdk import Log
from daemon.store.shares import Shares

FIRST_TRIES_S = 0.25
"""Between two tries of a host that has just come."""


class Meter(Protocol):
    """What is asked of the board's budget."""

    @property
    def limit(self) -> int:
        """Calls in a window."""

    def shrink(self, to: int) -> int:
        """Lower the limit to ``to``; returns what is used all the same, by what the last window has seen."""

    def grow(self, to: int) -> None:
        """Raise the limit."""


class Allowance:
    """Keeps ``meter`` at this host's part of ``limit``."""

    def __init__(
        self,
        shares: Shares,
        meter: Meter,
        *,
        limit: int,
        every: float,
        log: Log,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``every``: seconds between two reckonings, as long as the fleet is small."""
        self._shares = shares
        self._meter = meter
        self._limit = limit
        self._every = every
        self._log = log
        self._monotonic = monotonic
        self._next = float("-inf")
        self._part = 0
        """What our row says, and the meter keeps to, together with what it has used lately."""
        self._left = False
        self._lock = threading.Lock()

    def enter(self, wait: Callable[[float], object]) -> None:
        """Take a first part before the first call, waiting two beats for the others at most (``wait``
        seconds); while it is not even half of what is due, the meter stays at 0 and the board counts as
        unreachable. What an earlier boot of this host had is taken on."""
        self._meter.shrink(0)
        self._part = self._shares.rise(self._limit, have=0, wanted=self._shares.mine())
        end = self._monotonic() + 2 * self._every + 1.0
        self._reckon()
        while self._meter.limit == 0 and self._monotonic() < end:
            wait(FIRST_TRIES_S)
            self._reckon()

    def renew(self) -> None:
        """At each beat. Raises TransientError when the store does not answer: the part stays as it is."""
        if self._monotonic() >= self._next:
            self._reckon()

    def leave(self) -> None:
        """An orderly end: what was not used is the others' at once."""
        with self._lock:
            self._left = True
            self._shares.lower(self._meter.shrink(0))

    def _reckon(self) -> None:
        with self._lock:
            if not self._left:
                self._reckoned()

    def _reckoned(self) -> None:
        crowd = self._shares.crowd()
        due = share(self._limit, hosts=crowd.alive, rank=crowd.rank)
        before = self._part
        if before > due:
            self._part = max(due, self._meter.shrink(due))
            if self._part < before:
                self._shares.lower(self._part)
        elif before < due:
            self._part = self._shares.rise(self._limit, have=before, wanted=due)
        if self._meter.limit > 0 or 2 * self._part >= due:
            self._meter.grow(min(self._part, due))
        if self._part != before:
            self._log.info("board.share", calls=self._part, limit=self._limit, hosts=crowd.alive)
        self._next = self._monotonic() + pace(crowd.alive, self._every)
