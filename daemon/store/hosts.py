"""The hosts of a store: their rows, their leases by the database's clock, their session locks.

A lease is a row: ``seen`` is renewed at each beat, and only while ``boot`` is still the one that joined. Who
takes a host's work over writes ``gone`` into that row in the same transaction, so exactly one of the two —
the beat or the takeover — comes first, and the other learns of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from daemon.core.errors import TransientError
from daemon.core.fleet import gone
from daemon.core.status import ACTIVE
from daemon.store import tables as t

KEEPALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}
"""For the connection that holds the lock: a side that lost its power is noticed by the other one in some
25 s, where the default is two hours. The first three are libpq's for us, the ``options`` for the server."""

POSTGRES_NOW: sa.ColumnElement[float] = sa.extract("epoch", sa.func.clock_timestamp()).cast(sa.Float)
"""Epoch seconds by the database's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host. Times are epoch seconds by the database's clock; ``age`` is how long ago it was seen.

    ``gone``: "" while it may beat; else why its boot is over ("left", "taken over by <name>").
    """

    executor: str
    name: str
    boot: str
    version: str
    pid: int
    lease: float
    joined: float
    seen: float
    gone: str
    handlers: tuple[str, ...]
    offers: tuple[str, ...]
    age: float

    @property
    def alive(self) -> bool:
        """It beats within its lease."""
        return not self.gone and self.age <= self.lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """One run that changes hosts: the claim that it carries from now on, and what becomes of it."""

    run: str
    claim: str
    fate: str


class Hosts:
    """Reads and writes of the hosts' rows. ``shared``: the database is one that others can reach."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self.shared = engine.dialect.name == "postgresql"
        self._lock: sa.Connection | None = None
        self._now: sa.ColumnElement[float] = (
            POSTGRES_NOW if self.shared else (sa.func.julianday("now") - 2440587.5) * 86400.0
        )

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.IntegrityError as error:
            raise TransientError(
                "another host joins under the same name", hint="start this one again"
            ) from error
        except sa.exc.OperationalError as error:
            raise TransientError(
                f"the store did not answer: {error.orig}", hint="it is tried again"
            ) from error

    # ── one's own row ─────────────────────────────────────────────────────────────────────────────

    def join(
        self, *, executor: str, name: str, boot: str, version: str, pid: int, lease: float
    ) -> Host | None:
        """Write the row of a new boot; returns the row that stood there. Work left under an earlier name of
        this executor is renamed with it. TransientError when a living host has the name already."""
        near = sa.or_(t.hosts.c.name == name, t.hosts.c.executor == executor)
        with self._begin() as c:
            rows = self._rows(c, sa.select(t.hosts).where(near).with_for_update())
            twin = next((h for h in rows if h.name == name and h.executor != executor), None)
            if twin is not None and twin.alive:
                raise TransientError(
                    f"a host named {name} is on this store (pid {twin.pid}, seen {twin.age:.0f} s ago)",
                    hint="give each host a name of its own: host.name",
                )
            if twin is not None:  # the same machine with a new home folder: the name and its work go over
                c.execute(sa.delete(t.hosts).where(t.hosts.c.executor == twin.executor))
            before = next((h for h in rows if h.executor == executor), None)
            if before is not None and before.name != name:
                self._rename(c, before.name, name)
            c.execute(sa.delete(t.hosts).where(t.hosts.c.executor == executor))
            fields = {"executor": executor, "name": name, "boot": boot, "version": version, "pid": pid}
            empty: dict[str, Any] = {"handlers": [], "offers": [], "gone": ""}
            c.execute(
                sa.insert(t.hosts).values(**fields, **empty, lease=lease, joined=self._now, seen=self._now)
            )
        return before

    def _rename(self, c: sa.Connection, before: str, name: str) -> None:
        states = [s.value for s in ACTIVE]
        where = (t.runs.c.host == before, t.runs.c.state.in_(states))
        c.execute(sa.update(t.runs).where(*where).values(host=name))

    def beat(self, executor: str, boot: str, handlers: Iterable[str], offers: Iterable[str]) -> bool:
        """Renew the lease. False = this boot is over: somebody else has, or may have, its work."""
        mine = (t.hosts.c.executor == executor, t.hosts.c.boot == boot, t.hosts.c.gone == "")
        news = {"handlers": sorted(handlers), "offers": sorted(offers)}
        with self._begin() as c:
            return bool(c.execute(sa.update(t.hosts).where(*mine).values(seen=self._now, **news)).rowcount)

    def leave(self, executor: str, boot: str) -> None:
        """An orderly end; what was cut waits for the restart for one lease."""
        mine = (t.hosts.c.executor == executor, t.hosts.c.boot == boot, t.hosts.c.gone == "")
        with self._begin() as c:
            c.execute(sa.update(t.hosts).where(*mine).values(seen=self._now, gone="left"))
        self.unlock()

    # ── the lock of a boot ────────────────────────────────────────────────────────────────────────

    def lock(self, boot: str) -> bool:
        """Hold the boot's lock on a connection of its own, which dies with the process. Called again, it
        looks whether that connection still lives and replaces it if not. True = held."""
        if not self.shared:
            return True
        if self._lock is not None:
            try:
                self._lock.exec_driver_sql("SELECT 1")
                return True
            except sa.exc.DBAPIError:
                self.unlock()
        lone = sa.create_engine(self._engine.url, poolclass=sa.NullPool, connect_args=KEEPALIVE)
        try:
            connection = lone.connect().execution_options(isolation_level="AUTOCOMMIT")
            held = connection.execute(sa.select(sa.func.pg_try_advisory_lock(_key(boot)))).scalar()
        except sa.exc.OperationalError as error:
            raise TransientError(
                f"the store did not answer: {error.orig}", hint="it is tried again"
            ) from error
        self._lock = connection
        return bool(held)

    def unlock(self) -> None:
        """Let go of the lock and its connection."""
        connection, self._lock = self._lock, None
        if connection is not None:
            with suppress(sa.exc.DBAPIError):  # it may be the broken connection that we are rid of here
                connection.close()

    # ── the others ────────────────────────────────────────────────────────────────────────────────

    def all(self) -> list[Host]:
        """Every host, by name."""
        with self._begin() as c:
            return self._rows(c, sa.select(t.hosts).order_by(t.hosts.c.name))

    def silent(self, executor: str, seconds: float) -> list[Host]:
        """Other hosts that were last seen more than ``seconds`` ago."""
        quiet = sa.select(t.hosts).where(t.hosts.c.executor != executor, t.hosts.c.seen < self._now - seconds)
        with self._begin() as c:
            return self._rows(c, quiet.order_by(t.hosts.c.seen))

    def take(self, dead: Host, *, name: str, runs: Sequence[Taking]) -> list[str]:
        """End the boot of ``dead`` and move ``runs`` to the host ``name``, in one transaction. Returns the
        runs that moved; none when the host beat in the meantime or is not gone by the rule."""
        if not runs:
            return []
        with self._begin() as c:
            row = sa.select(t.hosts).where(t.hosts.c.executor == dead.executor).with_for_update()
            now = next(iter(self._rows(c, row)), None)
            if now is None or now.boot != dead.boot:
                return []
            if not gone(silent=now.age, lease=now.lease, lock_free=self._free(c, dead.boot) and not now.gone):
                return []
            c.execute(
                sa.update(t.hosts)
                .where(t.hosts.c.executor == dead.executor)
                .values(gone=f"taken over by {name}")
            )
            return [x.run for x in runs if self._move(c, dead, name, x)]

    def _free(self, c: sa.Connection, boot: str) -> bool:
        # For the length of this transaction only: were it kept, a host that lives could not take it back.
        return bool(c.execute(sa.select(sa.func.pg_try_advisory_xact_lock(_key(boot)))).scalar())

    def _move(self, c: sa.Connection, dead: Host, name: str, one: Taking) -> bool:
        where = (
            t.runs.c.run == one.run,
            t.runs.c.host == dead.name,
            t.runs.c.state.in_([s.value for s in ACTIVE]),
        )
        if not c.execute(sa.update(t.runs).where(*where).values(host=name, claim=one.claim)).rowcount:
            return False
        number = sa.select(sa.func.count()).where(t.takeovers.c.run == one.run).scalar_subquery()
        c.execute(
            sa.insert(t.takeovers).values(
                run=one.run,
                number=number,
                from_host=dead.name,
                from_boot=dead.boot,
                to_host=name,
                fate=one.fate,
                at=self._now,
            )
        )
        return True

    def fates(self, runs: Sequence[str]) -> Mapping[str, list[str]]:
        """Run → the fate of each of its takeovers, oldest first; only runs that had one."""
        out: dict[str, list[str]] = {}
        query = sa.select(t.takeovers.c.run, t.takeovers.c.fate).where(t.takeovers.c.run.in_(runs))
        with self._begin() as c:
            for run, fate in c.execute(query.order_by(t.takeovers.c.number)):
                out.setdefault(run, []).append(fate)
        return out

    def forget(self, seconds: float) -> None:
        """Drop hosts not seen for ``seconds`` that hold no work, with their shares, and takeovers of runs
        that are forgotten."""
        busy = sa.select(t.runs.c.host).where(t.runs.c.state.in_([s.value for s in ACTIVE]))
        old = t.hosts.c.seen < self._now - seconds
        with self._begin() as c:
            c.execute(sa.delete(t.hosts).where(old, t.hosts.c.name.not_in(busy)))
            c.execute(sa.delete(t.shares).where(t.shares.c.executor.not_in(sa.select(t.hosts.c.executor))))
            c.execute(sa.delete(t.takeovers).where(t.takeovers.c.run.not_in(sa.select(t.runs.c.run))))

    def _rows(self, c: sa.Connection, query: sa.Select[Any]) -> list[Host]:
        out = []
        for row in c.execute(query.add_columns((self._now - t.hosts.c.seen).label("age"))):
            fields = dict(row._mapping)
            fields["handlers"], fields["offers"] = tuple(fields["handlers"]), tuple(fields["offers"])
            out.append(Host(**fields))
        return out


def _key(boot: str) -> int:
    """An advisory lock's key is a signed 64-bit number; ours come from a hash, to meet no others."""
    return int.from_bytes(hashlib.sha256(f"handoffd {boot}".encode()).digest()[:8], "big", signed=True)
