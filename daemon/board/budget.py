"""The call budget of one token, shared by every thread.

Notion counts calls per token in fixed windows of 60 s whose phase it does not tell (research/notion.md
§2.10). So the budget holds over *any* 60 s: then it holds over theirs too, whenever that one starts. A
burst may spend all of it at once. Looks leave a reserve for writes and stand back while a write waits: what
is decided gets written before something new is read. A look that has let as many writes pass as the reserve
has places goes next: a bulk of work must not keep a person's "Cancelled" from being seen until its end.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable

from daemon.core.errors import TransientError, Unreachable

WINDOW_S = 61.0
"""60 s, and one for calls that reach the service closer together than they left here."""

RESERVE = 20
"""Calls of a window that looks leave to writes (research/notion.md §6.2), never over a quarter of it; also
how many writes may pass a look that waits."""

_BEHIND_S = 0.02
"""How often one who waits behind others looks whether it is his turn."""


class NoPart(Unreachable):
    """The other hosts of the token have all of its calls: nobody waits for that, it is told."""


class Budget:
    """At most ``limit`` calls in any window; first come, first served within writes and within looks."""

    def __init__(self, limit: int, *, monotonic: Callable[[], float], pause: Callable[[float], None]) -> None:
        """``monotonic`` in seconds; ``pause(seconds)`` waits, and raises when the daemon stops."""
        self._limit = limit
        self._now = monotonic
        self._pause = pause
        self._lock = threading.Lock()
        self._sent: deque[float] = deque()
        self._queues: dict[bool, deque[int]] = {True: deque(), False: deque()}
        self._tickets = itertools.count()
        self._held = 0
        self._passed = 0
        self._closed_until = 0.0

    @property
    def limit(self) -> int:
        """Calls in a window."""
        return self._limit

    def shrink(self, to: int) -> int:
        """Lower the limit to ``to`` for all that is still to be sent. Returns what is used all the same, by
        what the last window has seen: whoever gets the rest may use it at once. It falls as time goes by."""
        with self._lock:
            self._forget(self._now())
            self._limit = min(self._limit, to)
            return max(self._limit, len(self._sent) + self._held)

    def grow(self, to: int) -> None:
        """Raise the limit."""
        with self._lock:
            self._limit = max(self._limit, to)

    def close_for(self, seconds: float) -> None:
        """The service named a time: nobody calls before it is over."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._now() + seconds)

    def closed_for(self) -> float:
        """Seconds until the service takes calls again; 0 when it does."""
        with self._lock:
            return max(0.0, self._closed_until - self._now())

    def take(self, *, urgent: bool, patience: float) -> float:
        """Wait for a place and take it; returns the seconds waited.

        ``patience``: seconds that a time named by the service may last; a longer one raises TransientError
        at once with what is left of it, so that the caller can do something better than to wait.
        """
        _, waited = self.hold(1, urgent=urgent, patience=patience)
        self.use()
        return waited

    def hold(self, places: int, *, urgent: bool, patience: float) -> tuple[int, float]:
        """Wait until ``places`` (at most the limit) are free at once and keep them for ``use`` or
        ``release``: so a write follows its read at once, and not a window later. Returns how many they are
        and the seconds waited.

        Raises NoPart while the limit is 0 (docs/fleet.md).
        """
        begun = self._now()
        queue = self._queues[urgent]
        with self._lock:
            ticket = next(self._tickets)
            queue.append(ticket)
        try:
            while True:
                closed = self.closed_for()
                if closed > max(0.0, patience):
                    raise TransientError(
                        f"the board takes no calls for another {closed:.0f} s (its own limit)",
                        hint="it goes on by itself",
                        retry_after=closed,
                    )
                with self._lock:
                    wanted = self._wanted(places)
                    delay = self._delay(ticket, urgent, wanted)
                    if delay <= 0:
                        self._held += wanted
                        self._passed = self._passed + wanted if urgent and self._queues[False] else 0
                        return wanted, self._now() - begun
                self._pause(min(delay, 1.0))
        finally:
            with self._lock:
                queue.remove(ticket)
                if not self._queues[False]:
                    self._passed = 0

    def use(self) -> None:
        """A held place is used by a call that is sent now."""
        with self._lock:
            self._held -= 1
            self._sent.append(self._now())

    def release(self, places: int) -> None:
        """Give back held places that were not needed."""
        with self._lock:
            self._held -= places

    @property
    def _reserve(self) -> int:
        return min(RESERVE, self._limit // 4)

    def _wanted(self, places: int) -> int:
        if self._limit == 0:
            raise NoPart(
                "this host has no part of the board's calls: the other hosts of the token use them all",
                hint="it gets one when they have given some up; with more hosts than board.rate_limit, never",
            )
        return min(places, self._limit)

    def _forget(self, now: float) -> None:
        while self._sent and now - self._sent[0] >= WINDOW_S:
            self._sent.popleft()

    def _delay(self, ticket: int, urgent: bool, wanted: int) -> float:
        now = self._now()
        if self._closed_until > now:
            return self._closed_until - now
        looks_turn = self._passed >= max(1, self._reserve)
        others_turn = looks_turn if urgent else bool(self._queues[True]) and not looks_turn
        if self._queues[urgent][0] != ticket or others_turn:
            return _BEHIND_S
        self._forget(now)
        places = self._limit if urgent or looks_turn else self._limit - self._reserve
        over = len(self._sent) + self._held + wanted - places
        if over <= 0:
            return 0.0
        if over > len(self._sent):
            return _BEHIND_S  # others hold what is left: they are about to send
        return self._sent[over - 1] + WINDOW_S - now
