"""The SQLite file: tables, connections, transactions.

One connection writes, always inside BEGIN IMMEDIATE; readers have their own connections and each request
reads one snapshot (WAL).  Nothing of the data is kept in memory between requests but parsed data-source
schemas.

Every data source has a table of its own, `rows_<n>`, one row for each page with one to three columns for
each property in the forms that filters and sorts compare (see cells.py): a query is then one pass over
narrow rows, and SQLite itself is the evaluator.  The values that are served are the JSON in
`page.properties`; `text_chunk` holds copies of texts for conditions that look into all of them
(text_chunks.py).
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS user (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, email TEXT, avatar_url TEXT,
  position INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS page (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  parent_type TEXT NOT NULL, parent_id TEXT, source INTEGER,
  created INTEGER NOT NULL, edited INTEGER NOT NULL, created_by TEXT NOT NULL, edited_by TEXT NOT NULL,
  in_trash INTEGER NOT NULL DEFAULT 0, is_locked INTEGER NOT NULL DEFAULT 0,
  icon TEXT, cover TEXT, title TEXT NOT NULL, properties TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS page_edited ON page(edited);
CREATE INDEX IF NOT EXISTS page_parent ON page(parent_id) WHERE source IS NULL;
CREATE TABLE IF NOT EXISTS block (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  parent_type TEXT NOT NULL, parent_id TEXT NOT NULL, position INTEGER NOT NULL,
  type TEXT NOT NULL, body TEXT NOT NULL,
  created INTEGER NOT NULL, edited INTEGER NOT NULL, created_by TEXT NOT NULL, edited_by TEXT NOT NULL,
  in_trash INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS block_order ON block(parent_id, position);
CREATE TABLE IF NOT EXISTS database (
  id TEXT PRIMARY KEY, parent_type TEXT NOT NULL, parent_id TEXT,
  title TEXT NOT NULL, description TEXT NOT NULL, icon TEXT, cover TEXT,
  is_inline INTEGER NOT NULL, is_locked INTEGER NOT NULL DEFAULT 0, in_trash INTEGER NOT NULL DEFAULT 0,
  created INTEGER NOT NULL, edited INTEGER NOT NULL, created_by TEXT NOT NULL, edited_by TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS data_source (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, database_id TEXT NOT NULL,
  title TEXT NOT NULL, title_plain TEXT NOT NULL, description TEXT NOT NULL, icon TEXT, cover TEXT,
  in_trash INTEGER NOT NULL DEFAULT 0, properties TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1,
  next_number INTEGER NOT NULL DEFAULT 1, joined INTEGER NOT NULL DEFAULT 0,
  created INTEGER NOT NULL, edited INTEGER NOT NULL, created_by TEXT NOT NULL, edited_by TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS data_source_database ON data_source(database_id);
CREATE TABLE IF NOT EXISTS link (
  property INTEGER NOT NULL, source INTEGER NOT NULL, position INTEGER NOT NULL, target INTEGER NOT NULL,
  PRIMARY KEY (property, source, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS link_back ON link(target, property);
CREATE TABLE IF NOT EXISTS text_chunk (
  property INTEGER NOT NULL, number INTEGER NOT NULL, offsets BLOB NOT NULL,
  starts BLOB NOT NULL, texts TEXT,
  PRIMARY KEY (property, number)
);
CREATE TABLE IF NOT EXISTS session (
  id TEXT PRIMARY KEY, created INTEGER NOT NULL, delivered INTEGER NOT NULL, state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS comment (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, parent_type TEXT NOT NULL, parent_id TEXT NOT NULL,
  discussion_id TEXT NOT NULL, body TEXT NOT NULL, attachments TEXT, display_name TEXT NOT NULL,
  created INTEGER NOT NULL, edited INTEGER NOT NULL, created_by TEXT NOT NULL,
  removed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS comment_parent ON comment(parent_id, key);
CREATE INDEX IF NOT EXISTS comment_discussion ON comment(discussion_id);
CREATE TABLE IF NOT EXISTS upload (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, mode TEXT NOT NULL, status TEXT NOT NULL,
  filename TEXT, content_type TEXT, content_length INTEGER, parts INTEGER, source_url TEXT,
  created INTEGER NOT NULL, edited INTEGER NOT NULL, expires INTEGER, created_by TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS upload_part (
  upload INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (upload, number)
);
CREATE TABLE IF NOT EXISTS view (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, parent_type TEXT NOT NULL, parent_id TEXT NOT NULL,
  data_source_id TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
  filter TEXT, sorts TEXT, quick_filters TEXT, configuration TEXT NOT NULL, position INTEGER NOT NULL,
  created INTEGER NOT NULL, edited INTEGER NOT NULL, created_by TEXT NOT NULL, edited_by TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS view_query (
  id TEXT PRIMARY KEY, view_id TEXT NOT NULL, expires INTEGER NOT NULL, pages TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subscription (
  id TEXT PRIMARY KEY, url TEXT NOT NULL, secret TEXT NOT NULL, verified INTEGER NOT NULL,
  events TEXT NOT NULL,
  retry_base REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery (
  key INTEGER PRIMARY KEY, subscription TEXT NOT NULL, due REAL NOT NULL, attempt INTEGER NOT NULL,
  state TEXT NOT NULL, payload TEXT NOT NULL, note TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS delivery_due ON delivery(state, due);
CREATE TABLE IF NOT EXISTS async_task (
  id TEXT PRIMARY KEY, created INTEGER NOT NULL, operation TEXT NOT NULL, result TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
  key INTEGER PRIMARY KEY, at INTEGER NOT NULL, author TEXT NOT NULL, type TEXT NOT NULL,
  entity TEXT NOT NULL, data TEXT NOT NULL
);
"""

CACHE_KIB = 2_048
"""Page cache of each connection.  Every one fills it as the file grows, so with one writer and a few readers
this bounds the board's memory; eight times as much made no query over 100,000 pages quicker, for the system
keeps the file's pages too."""

STATEMENTS = 96
"""Prepared statements that each connection keeps: enough for the questions that come again and again."""

PAGE_SIZE = 8_192
"""Bytes of a page of the file: a scan of all rows reads half as often as with SQLite's 4,096 (a fifth off a
query).
"""

_BUSY_MS = 10_000


class Store:
    """Connections to one board file.

    `write()` and `read()` are context managers that yield a connection inside a transaction.  For
    ":memory:" both use the same connection under one lock, since a memory database cannot have a second
    one.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self.in_memory = self.path == ":memory:"
        self._write_lock = threading.Lock()
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._writer = self._connect()
        if not self.in_memory:
            self._writer.execute("PRAGMA journal_mode=WAL")
        self._writer.executescript(_TABLES)
        self._add_missing_columns()

    def _add_missing_columns(self) -> None:
        """Brings files of earlier versions up to date."""
        columns = {row["name"] for row in self._writer.execute("PRAGMA table_info(data_source)")}
        if "joined" not in columns:
            self._writer.execute("ALTER TABLE data_source ADD COLUMN joined INTEGER NOT NULL DEFAULT 0")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS
        )
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute("PRAGMA temp_store=MEMORY")
        return connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A writing transaction: committed at the end, rolled back on any exception."""
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A reading transaction: one consistent snapshot."""
        if self.in_memory:
            with self._write_lock:
                yield self._writer
            return
        try:
            connection = self._readers.get_nowait()
        except queue.Empty:
            connection = self._connect()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.execute("ROLLBACK")
            self._readers.put(connection)

    def snapshot(self) -> sqlite3.Connection:
        """A connection that keeps showing the board as it is now, for the "stale query" fault.  Close it
        after use.
        """
        if self.in_memory:
            copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            copy.row_factory = sqlite3.Row
            with self._write_lock:
                self._writer.backup(copy)
            return copy
        connection = self._connect()
        connection.execute("BEGIN")
        # A deferred transaction sees the state of its first read, so read something now.
        connection.execute("SELECT count(*) FROM meta").fetchone()
        return connection

    def close(self) -> None:
        """Closes every connection; the board must not be in use."""
        while True:
            try:
                self._readers.get_nowait().close()
            except queue.Empty:
                break
        self._writer.close()
