"""This host's lease on the store: joined, beaten, lost. What makes a frozen host stop before it does harm.

Nobody may end our boot before we were silent for ``SILENCE_BEATS`` beats (daemon/core/fleet.py). So within
two beats of the last one that the database took, no question is needed; after that, ``check`` asks before
anything goes on: a process that was frozen finds out at its next step boundary or page write.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable

from daemon.core.errors import Fenced, HandoffdError
from daemon.core.fleet import BEATS_A_LEASE, SILENCE_BEATS
from daemon.sdk import Log
from daemon.store.hosts import Host, Hosts

SURE_BEATS = 2
"""Below SILENCE_BEATS: for so long after a beat we know, without asking, that the boot is ours."""

AGAIN_S = 1.0
"""Between two tries to learn it, while the database does not answer."""


def awake() -> float:
    """Seconds that also pass while the machine sleeps or the process is stopped."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """One boot of this host. ``on_lost`` is called once, in the thread that found out."""

    def __init__(
        self,
        hosts: Hosts,
        *,
        executor: str,
        name: str,
        version: str,
        seconds: float,
        log: Log,
        on_lost: Callable[[], None],
        clock: Callable[[], float] = awake,
    ) -> None:
        self.boot = secrets.token_hex(8)
        self.executor = executor
        self.name = name
        self.seconds = seconds
        self.beat_every = seconds / BEATS_A_LEASE
        self.lost = threading.Event()
        self.handlers: frozenset[str] = frozenset()
        self.offers: frozenset[str] = frozenset()
        """What the next beat says of this host. Found out by the tick: a folder that hangs must not hold a
        beat."""
        self._hosts = hosts
        self._version = version
        self._log = log
        self._on_lost = on_lost
        self._clock = clock
        self._lock = threading.Lock()
        self._sent = self._judges_from = float("-inf")

    def join(self) -> Host | None:
        """Write our row; returns the row of our last boot. Raises TransientError when a living host has
        our name or the store does not answer."""
        before = self._hosts.join(
            executor=self.executor,
            name=self.name,
            boot=self.boot,
            version=self._version,
            pid=os.getpid(),
            lease=self.seconds,
        )
        self.beat()
        return before

    def beat(self) -> bool:
        """Renew the lease. False = lost, for good. Raises TransientError when the store does not answer."""
        with self._lock:
            return self._beat()

    def _beat(self) -> bool:
        if self.lost.is_set():
            return False
        now = self._clock()
        if not self._hosts.beat(self.executor, self.boot, self.handlers, self.offers):
            self.lost.set()
            self._on_lost()
            return False
        if now - self._sent > SILENCE_BEATS * self.beat_every:
            # Just started, or back after a silence: the others may have been cut off as we were.
            self._judges_from = now + self.seconds
        self._sent = now
        self._hosts.lock(self.boot)
        return True

    def judges(self) -> bool:
        """Whether this host may say of another that it is gone."""
        return not self.lost.is_set() and self._clock() >= self._judges_from

    def check(self) -> None:
        """Raises Fenced when the lease is lost, TransientError when that can't be known now."""
        if not self._hosts.shared:
            return
        if not self.lost.is_set() and self._clock() - self._sent < SURE_BEATS * self.beat_every:
            return
        with self._lock:  # of many threads that wake up at once, one asks
            fresh = self._clock() - self._sent < SURE_BEATS * self.beat_every
            if not self.lost.is_set() and (fresh or self._beat()):
                return
        raise Fenced(f"this host ({self.name}) was silent too long and its work was taken over")

    def wait_until_sure(self) -> None:
        """Returns when the lease is known to be held or lost; waits while the store is away."""
        while True:
            try:
                self.check()
                return
            except Fenced:
                return
            except HandoffdError as error:
                self._log.debug("host.unsure", error=error.one_line())
                self.lost.wait(AGAIN_S)

    def leave(self) -> None:
        """An orderly end."""
        if not self.lost.is_set():
            self._hosts.leave(self.executor, self.boot)
