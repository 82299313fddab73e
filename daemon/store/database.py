"""The database itself: one SQLAlchemy engine for our tables and the engine's, on SQLite or PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from daemon.core.errors import ConfigError, Unreachable
from daemon.store.tables import SCHEMA_VERSION, meta, metadata

NO_ROOM = "the disk of the store is full, or fails"

CACHE_KIB = 512
"""Pages that each connection keeps, KiB. A look reads few of them and the system keeps the file; at SQLite's
2,000 the connections of a busy daemon took 10 MB as its store grew."""

STATEMENTS = 24
"""Prepared statements that each connection keeps. At the usual 128, of two dozen connections, they were most
of what a busy daemon grew by (30 KB a track over the first hundred)."""

HEAP_MIB = 6
"""Memory of SQLite in the whole process, MiB, the local board's and every handler's connections included:
near it a page takes the place of another instead of more memory. A hundred tracks after its start a daemon
uses 4.5."""

_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


@contextmanager
def _told() -> Iterator[None]:
    """SQLite's word for a disk that is full, as a lock that may go away: for that DBOS waits, with all it
    keeps; anything else is the end of a workflow to it. No room for its shared memory is an I/O error."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _NO_ROOM:
            raise
        raise sqlite3.OperationalError(f"database is locked: {NO_ROOM} ({error})") from error


class Cursor(sqlite3.Cursor):
    """A cursor that tells of a full disk in DBOS's words."""

    def execute(self, *args: Any) -> Any:
        with _told():
            return super().execute(*args)

    def executemany(self, *args: Any) -> Any:
        with _told():
            return super().executemany(*args)


class Connection(sqlite3.Connection):
    """A connection with such cursors."""

    def cursor(self, *args: Any) -> Any:
        return super().cursor(Cursor)

    def commit(self) -> None:
        with _told():
            super().commit()


def url_of(setting: str, state_file: Path) -> str:
    """The SQLAlchemy URL: the setting, or SQLite in ``state_file`` when it is empty."""
    if not setting:
        return f"sqlite:///{state_file}"
    try:
        url = sa.make_url(setting)
    except sa.exc.ArgumentError as error:
        raise ConfigError(
            "store.url is not a database URL", hint="sqlite:///FILE or postgresql+psycopg://…"
        ) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(
            f"store.url: {url.get_backend_name()} is not supported",
            hint="use sqlite:/// or postgresql+psycopg://",
        )
    return setting


def open_engine(url: str) -> sa.Engine:
    """Connect. On SQLite: WAL (the engine does not set it itself: enqueueing is six times slower without,
    research/engines.md §3.1), full sync before a commit returns, immediate transactions only — a deferred
    read-to-write upgrade fails at once whatever the busy timeout says (research/reliability.md §0.10)."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=10)
    arguments = {"timeout": 30.0, "factory": Connection, "cached_statements": STATEMENTS}
    engine = sa.create_engine(url, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=30000",
            "foreign_keys=ON",
            f"cache_size=-{CACHE_KIB}",
            f"soft_heap_limit={HEAP_MIB << 20}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine


CREATING = 0x68616E64
"""The advisory lock on PostgreSQL under which tables are created; the number means nothing."""


def _create(engine: sa.Engine) -> None:
    """All tables that are missing, by one of those who come at once: commands, a daemon, hosts."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATING)))
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        metadata.create_all(connection)


def prepare(engine: sa.Engine, store_id: str) -> str:
    """Create what is missing and give back the store's id (``store_id`` when the store is new).

    Raises ConfigError when a newer handoffd has written the store, Unreachable when it can't be opened.
    """
    try:
        if not set(metadata.tables) <= set(sa.inspect(engine).get_table_names()):
            _create(engine)
        with engine.begin() as connection:
            found: dict[str, str] = {r.key: r.value for r in connection.execute(sa.select(meta))}
            if "store_id" not in found:
                connection.execute(
                    sa.insert(meta),
                    [{"key": "store_id", "value": store_id}, {"key": "schema", "value": str(SCHEMA_VERSION)}],
                )
                return store_id
    except sa.exc.IntegrityError:
        return prepare(engine, store_id)  # another host created it in the same moment
    except sa.exc.DBAPIError as error:
        raise Unreachable(
            f"the store can't be opened: {error.orig}", hint="check store.url and the home folder's rights"
        ) from error
    if int(found["schema"]) > SCHEMA_VERSION:
        raise ConfigError(
            f"a newer handoffd wrote the store (schema {found['schema']}, this one knows {SCHEMA_VERSION})",
            hint="install that version, or point store.url at another database",
        )
    return found["store_id"]
