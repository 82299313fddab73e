"""This host among the hosts of its store: lease, capabilities, takeover, wired from the settings.

On SQLite the store is this host's alone: its row is written for the dashboard, and nothing is judged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon.allowance import Allowance, Meter
from daemon.core.fleet import HostFacts, pace
from daemon.core.task import Task
from daemon.engine.lease import Lease
from daemon.engine.registry import Registry
from daemon.sdk import Log
from daemon.settings.load import Loaded
from daemon.store import Run, Store
from daemon.store.hosts import Hosts
from daemon.store.shares import Shares, budget_of
from daemon.takeover import Takeover

FORGET_DAYS = 30
"""Hosts that were not seen for so long, and hold no work, leave the dashboard."""


class Membership:
    """What the daemon's parts ask about hosts. ``settings`` and ``section`` give what is in force now."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        settings: Callable[[], Loaded],
        section: Callable[[str], Any],
        executor: str,
        name: str,
        version: str,
        clock: Callable[[], float],
        log: Log,
        on_lost: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings
        self._section = section
        self._log = log
        self.hosts = Hosts(store.engine)
        self.shared = self.hosts.shared
        self.lease = Lease(
            self.hosts,
            executor=executor,
            name=name,
            version=version,
            seconds=settings().settings.host.lease,
            log=log,
            on_lost=on_lost,
        )
        self._takeover = Takeover(
            hosts=self.hosts,
            store=store,
            lease=self.lease,
            able=self._able,
            manner=registry.takeover,
            claim_s=lambda: settings().settings.run.lease,
            clock=clock,
            log=log,
        )
        self._allowance: Allowance | None = None
        self._monotonic = monotonic
        self._others: list[HostFacts] = []
        self._next_look = float("-inf")

    def join(self) -> None:
        """Before the engine starts: from here on the others know this boot, and the last one is over."""
        self._look_at_oneself()
        before = self.lease.join()
        said = {"boot": self.lease.boot, "before": before.gone if before else ""}
        self._store.event("host.joined", host=self.lease.name, **said)
        self._log.info("host.joined", host=self.lease.name, **said)

    def divide_calls(self, meter: Meter, *, address: str, token: str, memory: float) -> None:
        """From here on ``meter`` has this host's part of ``board.rate_limit``, the calls of ``token`` at
        ``address``. ``memory``: seconds for which the service counts a call."""
        allowance = Allowance(
            Shares(
                self._store.engine,
                executor=self.lease.executor,
                budget=budget_of(address, token, self._store.id),
                memory=memory,
            ),
            meter,
            limit=self._settings().settings.board.rate_limit,
            every=self.lease.beat_every,
            log=self._log,
        )
        allowance.enter(self.lease.lost.wait)
        self._allowance = allowance

    def beat(self, *, taking: bool = True) -> list[str]:
        """Renew the lease and this host's part of the calls, and (``taking``) look for hosts that are gone;
        returns the runs taken over."""
        if not self.lease.beat() or not taking:
            return []
        if self._allowance is not None:
            self._allowance.renew()
        return self._takeover.look()

    def leave(self) -> None:
        """An orderly end."""
        if self._allowance is not None and not self.lease.lost.is_set():
            self._allowance.leave()
        self.lease.leave()
        self.hosts.unlock()

    def facts(self) -> Sequence[HostFacts]:
        """The hosts for the routing, this one as it is now, in a large fleet the others as they were some
        time ago (``pace``); nothing on a store that is ours alone."""
        if not self.shared:
            return ()
        self._look_at_oneself()
        if self._monotonic() >= self._next_look:
            self._others = self._look_at_others()
            self._next_look = self._monotonic() + pace(len(self._others) + 1, 0.0)
        return [*self._others, self._me()]

    def _look_at_others(self) -> list[HostFacts]:
        return [
            HostFacts(
                name=h.name,
                alive=h.alive,
                seen=h.seen,
                handlers=frozenset(h.handlers),
                offers=frozenset(h.offers),
            )
            for h in self.hosts.all()
            if h.name != self.lease.name
        ]

    def needs(self, handler: str, task: Task) -> frozenset[str]:
        """What a task needs of a host beside its handler."""
        volumes = self._settings().settings.host.needs.get(handler, ())
        asked = self._registry.needs(handler, task, self._section)
        return asked | {f"volume:{v}" for v in volumes}

    def fates(self, run: str) -> Sequence[str]:
        """What was decided at each takeover of a run."""
        return self.hosts.fates([run]).get(run, ())

    def forget(self) -> None:
        """Drop the rows of hosts that are long gone."""
        self.hosts.forget(FORGET_DAYS * 86_400.0)

    def _able(self, run: Run) -> bool:
        return self._me().can(run.handler, self.needs(run.handler, msgspec.convert(run.page, Task)))

    def _me(self) -> HostFacts:
        lease = self.lease
        return HostFacts(name=lease.name, alive=True, seen=0.0, handlers=lease.handlers, offers=lease.offers)

    def _look_at_oneself(self) -> None:
        loaded = self._settings()
        host = loaded.settings.host
        mounted = (f"volume:{name}" for name, folder in host.volumes.items() if _there(loaded.home, folder))
        served = set(self._registry.names())
        self.lease.handlers = frozenset(served & set(host.handlers) if host.handlers else served)
        self.lease.offers = self._registry.offers(self._section, loaded.home) | set(mounted)


def _there(home: Path, folder: str) -> bool:
    """A volume that is not mounted leaves its mount point: a folder, but an empty one."""
    try:
        return any((home / Path(folder).expanduser()).iterdir())
    except OSError:
        return False
