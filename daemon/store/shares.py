"""How hosts of one store divide the calls of one token: each has a row that says what it may use.

The rows of all hosts that may still be calling never add up to more than the limit: a host lowers its row
when its own calls allow it, and raises it only under a lock that all raisers take, by what the others left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from daemon.core.errors import TransientError
from daemon.core.fleet import growth
from daemon.store import tables as t
from daemon.store.hosts import POSTGRES_NOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The hosts that use one token. ``alive``: within their leases, this one among them; ``rank``: how many
    of them come before this one by name; ``others``: calls a minute that the others may still use."""

    alive: int
    rank: int
    others: int


class Shares:
    """The rows of one token on a PostgreSQL store. ``memory``: seconds for which the service counts a call:
    so long after its lease the share of a host that was not seen any more is still taken."""

    def __init__(self, engine: sa.Engine, *, executor: str, budget: str, memory: float) -> None:
        self._engine = engine
        self._executor = executor
        self._budget = budget
        self._memory = memory

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise TransientError(
                f"the store did not answer: {error.orig}", hint="it is tried again"
            ) from error

    def mine(self) -> int:
        """What this host's row says, also of its last boot; 0 when there is none."""
        mine = sa.select(t.shares.c.calls).where(
            t.shares.c.executor == self._executor, t.shares.c.budget == self._budget
        )
        with self._begin() as c:
            return int(c.execute(mine).scalar() or 0)

    def crowd(self) -> Crowd:
        """Who uses the token now. Raises TransientError when the store does not answer."""
        with self._begin() as c:
            return self._crowd(c)

    def lower(self, calls: int) -> None:
        """Write what this host uses at most from now on: it has lowered its own limit before."""
        with self._begin() as c:
            self._put(c, calls)

    def rise(self, limit: int, *, have: int, wanted: int) -> int:
        """Raise this host's row towards ``wanted``, as far as the others leave room; returns what it is now.
        The caller raises its own limit afterwards."""
        with self._begin() as c:
            c.execute(sa.select(sa.func.pg_advisory_xact_lock(_key(self._budget))))
            calls = growth(limit, have=have, wanted=wanted, others=self._crowd(c).others)
            self._put(c, calls)
            return calls

    def _crowd(self, c: sa.Connection) -> Crowd:
        silent = POSTGRES_NOW - t.hosts.c.seen
        me = t.hosts.c.executor == self._executor
        alive = sa.and_(t.hosts.c.gone == "", silent <= t.hosts.c.lease)
        counts = sa.and_(~me, silent <= t.hosts.c.lease + self._memory)
        name = sa.select(t.hosts.c.name).where(me).scalar_subquery()
        both = t.shares.join(t.hosts, t.shares.c.executor == t.hosts.c.executor)
        row = c.execute(
            sa.select(
                sa.func.count().filter(sa.or_(alive, me)),
                sa.func.count().filter(alive, ~me, t.hosts.c.name < name),
                sa.func.coalesce(sa.func.sum(t.shares.c.calls).filter(counts), 0),
            )
            .select_from(both)
            .where(t.shares.c.budget == self._budget)
        ).one()
        return Crowd(alive=max(1, int(row[0])), rank=int(row[1]), others=int(row[2]))

    def _put(self, c: sa.Connection, calls: int) -> None:
        row = {"budget": self._budget, "calls": calls}
        new = insert(t.shares).values(executor=self._executor, **row)
        c.execute(new.on_conflict_do_update(index_elements=["executor"], set_=row))


def budget_of(address: str, token: str, store_id: str) -> str:
    """The name of a token's budget in this store. It tells the token to nobody, and is another one in each
    store."""
    said = f"{address.rstrip('/')} {token}".encode()
    return hashlib.blake2b(said, key=store_id.encode()[:64], digest_size=12).hexdigest()


def _key(budget: str) -> int:
    digest = hashlib.blake2b(f"handoffd budget {budget}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
