"""The work of hosts that are gone: found at each beat, moved here as far as this host can do it.

Moving is one transaction in the store; what it means for the page and for the engine is the reconcile's part
of the next tick, which may be cut short anywhere and repeated.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from daemon.core.claim import Claim
from daemon.core.fleet import SILENCE_BEATS, Fate, fate
from daemon.core.status import RunState
from daemon.engine.lease import Lease
from daemon.sdk import Log
from daemon.store import Run, Store
from daemon.store.hosts import Host, Hosts, Taking


class Takeover:
    """Looks for hosts that are gone. ``able``: whether this host has what a run needs; ``manner``: what a
    handler declares as its ``takeover``."""

    def __init__(
        self,
        *,
        hosts: Hosts,
        store: Store,
        lease: Lease,
        able: Callable[[Run], bool],
        manner: Callable[[str], str],
        claim_s: Callable[[], float],
        clock: Callable[[], float],
        log: Log,
        nonce: Callable[[], str] = lambda: secrets.token_hex(6),
    ) -> None:
        self._hosts = hosts
        self._store = store
        self._lease = lease
        self._able = able
        self._manner = manner
        self._claim_s = claim_s
        self._clock = clock
        self._log = log
        self._nonce = nonce

    def look(self) -> list[str]:
        """Take over what can be; returns the runs. Raises TransientError when the store does not answer."""
        if not self._lease.judges():
            return []
        silent = self._hosts.silent(self._lease.executor, SILENCE_BEATS * self._lease.beat_every)
        if not silent:
            return []
        active = self._store.active_runs()
        return [
            run for host in silent for run in self._from(host, [r for r in active if r.host == host.name])
        ]

    def _from(self, host: Host, runs: list[Run]) -> list[str]:
        if not runs:
            return []
        before = self._hosts.fates([r.run for r in runs])
        fates = {r.run: self._fate(r, len(before.get(r.run, ()))) for r in runs}
        wanted = [r for r in runs if fates[r.run] is not Fate.STAY]
        takings = [Taking(run=r.run, claim=self._claim(r), fate=fates[r.run].value) for r in wanted]
        moved = self._hosts.take(host, name=self._lease.name, runs=takings)
        if moved:
            said: dict[str, Any] = {"host": host.name, "silent_s": round(host.age, 1), "runs": moved}
            self._store.event("host.taken_over", **said)
            self._log.warning("host.taken_over", **said, fates=[fates[r].value for r in moved])
        return moved

    def _fate(self, run: Run, takeovers: int) -> Fate:
        done = [s.name.split("@")[0] for s in self._store.steps(run.run) if s.state == "done"]
        # Behind its judgement an attempt needs nothing of its host: all that is left is in the store.
        manner = "resume" if "judge" in done and run.state is RunState.RUNNING else self._manner(run.handler)
        return fate(
            takeover=manner,
            able=self._able(run),
            waiting=run.state is RunState.WAITING,
            steps_done=len(done),
            takeovers=takeovers,
        )

    def _claim(self, run: Run) -> str:
        return Claim(
            owner=f"{self._store.id}/{self._lease.name}",
            generation=run.generation,
            nonce=self._nonce(),
            lease_until_ms=int((self._clock() + self._claim_s()) * 1000),
        ).text()
