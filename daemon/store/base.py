"""What all our tables have in common: a transaction for each method, one word for a database that is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from daemon.core.errors import TransientError
from daemon.store.database import NO_ROOM, prepare


class Tables:
    """Our side of the database. ``clock`` gives epoch seconds. Safe to use from several threads."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], float], new_id: str) -> None:
        self.engine = engine
        self._clock = clock
        self.id = prepare(engine, new_id)
        self._insert: Any = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            if NO_ROOM in str(error.orig):
                raise TransientError(NO_ROOM, hint="make room; what waits goes on by itself") from error
            raise TransientError(
                f"the store did not answer: {error.orig}", hint="it is tried again"
            ) from error

    _read = _write

    def _added(self, connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
        # Asked for the key and not for the row count: psycopg reports -1 for an insert, which is no "yes".
        new = self._insert(table).values(row).on_conflict_do_nothing().returning(*table.primary_key)
        return connection.execute(new).first() is not None
