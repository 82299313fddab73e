"""Several hosts on one store: who can do what, who is gone, and what becomes of the work of one who is.

Pure. Two signs say that a host is gone (docs/fleet.md): its session lock is free and it has been silent for
``SILENCE_BEATS`` beats — it was killed, or its machine is off; or its lease has run out — it is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

BEATS_A_LEASE = 10
"""A host beats so often in one lease: losing a few beats to a slow database costs nothing."""

SILENCE_BEATS = 3
"""A free lock counts only after so many missed beats: a database that restarts drops every lock at once."""

TAKEOVERS = 3
"""A run that has lost so many hosts is not resumed again: it may be what kills them. Its attempt ends, and
the limit of attempts decides (Sidekiq's poison pill: three recoveries, research/reliability.md §1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """One host of the store as the routing sees it. ``seen``: epoch s by the database's clock."""

    name: str
    alive: bool
    seen: float
    handlers: frozenset[str] = frozenset()
    """Handlers that it serves and that are usable there."""
    offers: frozenset[str] = frozenset()
    """``agent:<slug>``, ``volume:<name>``: what a task may need beside its handler."""

    def can(self, handler: str, needs: frozenset[str]) -> bool:
        """Whether the host has all that a task of ``handler`` needs."""
        return handler in self.handlers and needs <= self.offers


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The hosts of a store. Empty = one host that has the store to itself: nothing is routed."""

    me: str = ""
    hosts: tuple[HostFacts, ...] = ()
    by_name: dict[str, HostFacts] = field(default_factory=dict)

    def knows(self, handler: str) -> bool:
        """Whether any host, living or gone, serves ``handler``."""
        return any(handler in h.handlers for h in self.hosts)


def gone(*, silent: float, lease: float, lock_free: bool) -> bool:
    """Whether a host may be taken for dead. ``silent``: seconds since its last beat, by the database's clock;
    ``lease``: its own, in seconds."""
    return silent > lease or (lock_free and silent > SILENCE_BEATS * lease / BEATS_A_LEASE)


def elsewhere(
    handler: str, needs: frozenset[str], hosts: Sequence[HostFacts], me: str
) -> tuple[str, str, bool] | None:
    """None = ``me`` may take the task. Else (what it waits for, what would change it, whether no living host
    has what it needs)."""
    mine = next((h for h in hosts if h.name == me), None)
    if mine is None or mine.can(handler, needs):
        return None
    wanted = ", ".join([handler, *sorted(needs)])
    able = [h for h in hosts if h.can(handler, needs)]
    living = sorted(h.name for h in able if h.alive)
    if living:
        return (f"waits for host {' or '.join(living)}: {wanted} is there", "that host takes it", False)
    if able:
        names = " or ".join(sorted(h.name for h in able))
        return (f"waits for host {names}, which does not answer: {wanted} is there", f"{names} is back", True)
    lacking = sorted(needs - frozenset().union(*(h.offers for h in hosts)))
    if not any(handler in h.handlers for h in hosts):
        lacking = [handler, *lacking]
    said = f"no host has {', '.join(lacking)}" if lacking else f"no single host has all of: {wanted}"
    return (said, "start a host that has it, or change the task", True)


class Fate(StrEnum):
    """What becomes of an attempt whose host is gone."""

    RESUME = "resume"
    """Goes on here, behind its last finished step."""
    ANEW = "anew"
    """Ends; the next attempt starts from the top, wherever."""
    STAY = "stay"
    """Waits until its host is back."""


def fate(*, takeover: str, able: bool, waiting: bool, steps_done: int, takeovers: int) -> Fate:
    """``takeover``: what the handler declares (resume | anew | stay); ``able``: this host has what the task
    needs; ``waiting``: it is delivered and nothing runs; ``steps_done``: finished steps of the attempt;
    ``takeovers``: how often it has changed hosts."""
    if not able:
        return Fate.STAY
    if waiting:  # nothing of it runs, so it can't be what kills hosts
        return Fate.STAY if takeover == "stay" else Fate.RESUME
    if takeovers >= TAKEOVERS:
        return Fate.ANEW
    if steps_done == 0:
        return Fate.RESUME  # nothing was left behind anywhere
    return {"stay": Fate.STAY, "anew": Fate.ANEW}.get(takeover, Fate.RESUME)


LOOKS_A_SECOND = 50.0
"""How often all hosts of a store together ask for something that costs a row for each host."""


def pace(hosts: int, least: float) -> float:
    """Seconds between two questions of one host that cost a row for each host: ``least`` in a small fleet,
    and in a large one so many that all hosts together stay within LOOKS_A_SECOND."""
    return max(least, hosts / LOOKS_A_SECOND)


def share(limit: int, *, hosts: int, rank: int) -> int:
    """This host's part of ``limit`` calls a minute, when ``hosts`` living hosts use one token and ``rank`` of
    them come before it by name. The parts differ by one at most and add up to the limit: with more hosts than
    calls, the last get none. A host alone has the whole."""
    return limit // hosts + (rank < limit % hosts)


def growth(limit: int, *, have: int, wanted: int, others: int) -> int:
    """What a host may raise its part to: never so far that with ``others``, the sum of what the other hosts
    may still use, it exceeds the limit. A host that has to give calls up does so first (docs/fleet.md)."""
    return max(have, min(wanted, limit - others))
