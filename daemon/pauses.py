"""Pauses of handlers, as a tick sees them: read from the store, told once when they begin and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from daemon.core.breaker import Pause
from daemon.core.gates import HandlerFacts
from daemon.core.snapshot import HandlerRecord
from daemon.core.status import RunState
from daemon.reconcile import Policy
from daemon.sdk import Log
from daemon.store import Run, Store


class Pauses:
    """Keeps between ticks only what was told; the pauses themselves come from the store each time."""

    def __init__(self, *, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._told: dict[str, Pause] = {}

    def applied(
        self, facts: Mapping[str, HandlerFacts], under_way: Sequence[Run], policy: Policy, now: float
    ) -> dict[str, HandlerFacts]:
        """``facts`` with the pauses that the store's record leads to. ``under_way``: attempts not over."""
        found = {}
        for name in facts:
            pause = policy.breaker.pause(self._store.marks(name), configured_at=policy.configured_at, now=now)
            if pause is not None:
                found[name] = pause
        self._tell(found)
        return {
            name: self._paused(fact, found[name], under_way) if name in found else fact
            for name, fact in facts.items()
        }

    def _paused(self, fact: HandlerFacts, pause: Pause, under_way: Sequence[Run]) -> HandlerFacts:
        tries = (
            r.run
            for r in under_way
            if r.handler == fact.name and r.state is not RunState.WAITING and r.started >= pause.until
        )
        return replace(
            fact,
            paused_since=pause.since,
            paused_until=pause.until,
            paused_why=pause.why,
            trial=next(tries, ""),
        )

    def _tell(self, found: dict[str, Pause]) -> None:
        for name, pause in found.items():
            before = self._told.get(name)
            if before is None or before.until != pause.until:
                news: dict[str, Any] = {"reason": pause.why, "until": pause.until, "level": pause.level}
                self._log.warning("handler.paused", handler=name, **news)
                self._store.event("handler.paused", handler=name, **news)
        for name in self._told.keys() - found.keys():
            self._log.info("handler.resumed", handler=name)
            self._store.event("handler.resumed", handler=name)
        self._told = found

    def shown(self, records: Sequence[HandlerRecord]) -> list[HandlerRecord]:
        """``records`` with the state ``paused`` and its reason where a pause is in force."""
        return [self._shown(r) if r.name in self._told and r.state == "loaded" else r for r in records]

    def _shown(self, record: HandlerRecord) -> HandlerRecord:
        pause = self._told[record.name]
        until = datetime.fromtimestamp(pause.until, UTC)
        reason = f"{pause.why}; a task tries again from {until:%Y-%m-%d %H:%M:%S} UTC on"
        return replace(record, state="paused", reason=reason)
