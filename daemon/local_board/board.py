"""One board, and one request to it.

`Board` holds what outlives a request: the file, the clock, the id source, parsed schemas, faults, webhooks.
`Call` is one request inside one transaction; every endpoint is a function from a Call to a JSON object.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from daemon.local_board import BoardConfig
from daemon.local_board.errors import ApiError
from daemon.local_board.faults import Faults
from daemon.local_board.forms import Part
from daemon.local_board.ids import IdSource, parse_id
from daemon.local_board.rate_limit import RateWindow
from daemon.local_board.schema import Schema, parse_schema
from daemon.local_board.storage import Store
from daemon.local_board.texts import BOT_NAME, PERSON_NAME, dumps
from daemon.local_board.times import to_ms
from daemon.local_board.webhooks import Webhooks

EVENTS_KEPT = 50_000
"""Rows of the event log that are kept; tests look at the newest."""

_PRUNE_EVERY = 1_000


def _named_uuid(*parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


class Board:
    """The parts of a board that live as long as the server.  Safe to use from several threads."""

    def __init__(self, config: BoardConfig) -> None:
        root = parse_id(config.root_page)
        if root is None:
            raise ValueError(f"root_page is not a UUID: {config.root_page!r}")
        if not config.token:
            raise ValueError("token must not be empty: every request has to carry it")
        self.config = config
        self.root_page = root
        self.store = Store(config.db)
        self._schemas: dict[int, Schema] = {}
        self._shift_ms = 0
        self._fixed_ms: int | None = None
        with self.store.write() as db:
            self.workspace_id = self._meta(db, "workspace", _named_uuid("workspace", root))
            self.bot_id = self._meta(db, "bot", _named_uuid("bot", root))
            self.person_id = self._meta(db, "person", _named_uuid("person", root))
            self._found(db)
            opening = int(self._meta(db, "opened", "0")) + 1
            db.execute("UPDATE meta SET value = ? WHERE key = 'opened'", (str(opening),))
        self.ids = IdSource(config.seed, self.workspace_id, opening)
        self.faults = Faults()
        self.rate = RateWindow(config.rate_limit)
        self.webhooks = Webhooks(self)

    def _meta(self, db: sqlite3.Connection, key: str, value: str) -> str:
        db.execute("INSERT OR IGNORE INTO meta(key, value) VALUES (?, ?)", (key, value))
        stored: str = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()["value"]
        return stored

    def _found(self, db: sqlite3.Connection) -> None:
        """The two users and the root page of a new file."""
        users = (
            (self.person_id, "person", PERSON_NAME, "user@example.com", 1),
            (self.bot_id, "bot", BOT_NAME, None, 2),
        )
        db.executemany(
            "INSERT OR IGNORE INTO user(id, kind, name, email, position) VALUES (?, ?, ?, ?, ?)", users
        )
        now = self.now_ms()
        db.execute(
            "INSERT OR IGNORE INTO page(id, parent_type, parent_id, created, edited, created_by, edited_by,"
            " title, properties) VALUES (?, 'workspace', NULL, ?, ?, ?, ?, 'Local Board', ?)",
            (self.root_page, now, now, self.person_id, self.person_id, _root_properties()),
        )

    def now_ms(self) -> int:
        """The board's clock, in milliseconds since 1970."""
        if self._fixed_ms is not None:
            return self._fixed_ms + self._shift_ms
        real = time.time_ns() // 1_000_000 if self.config.now is None else to_ms(self.config.now())
        return real + self._shift_ms

    def set_clock(self, *, fixed_ms: int | None = None, advance_ms: int = 0) -> int:
        """Stops the clock at a moment, or moves it on; returns what it shows."""
        if fixed_ms is not None:
            self._fixed_ms, self._shift_ms = fixed_ms, 0
        self._shift_ms += advance_ms
        return self.now_ms()

    def schema(self, db: sqlite3.Connection, key: int) -> Schema:
        """The parsed schema of a data source, read again only when its version moved."""
        row = db.execute("SELECT version FROM data_source WHERE key = ?", (key,)).fetchone()
        known = self._schemas.get(key)
        if known is None or known.version != row["version"]:
            known = parse_schema(db.execute("SELECT * FROM data_source WHERE key = ?", (key,)).fetchone())
            self._schemas[key] = known
        return known

    def forget_schemas(self) -> None:
        """Drops parsed schemas; called after a rollback, whose version numbers will be used again."""
        self._schemas.clear()

    def close(self) -> None:
        """Stops deliveries and closes the file."""
        self.webhooks.close()
        self.faults.remove()
        self.store.close()


def _root_properties() -> str:
    from daemon.local_board import richtext

    return dumps({"title": [richtext.text_item("Local Board")]})


@dataclass(slots=True, kw_only=True)
class Call:
    """One request: who asks, for what, at which moment, in which transaction.

    form: the fields of a multipart body, where the endpoint takes one. version: "2025-09-03" or
    "2026-03-11"; params: ids from the path, dashed; query: query-string values by name. events: what
    happened, in order, for webhooks once the transaction has committed. status: of the answer.
    """

    board: Board
    db: sqlite3.Connection
    version: str
    now: int
    actor: str
    base_url: str
    request_id: str = ""
    params: dict[str, str] = field(default_factory=dict)
    query: dict[str, list[str]] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    form: list[Part] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    pending: list[Callable[[sqlite3.Connection], object]] = field(default_factory=list)
    status: int = 200

    def later(self, sql: str, params: tuple[Any, ...]) -> None:
        """Queues a write of a reading call (a query cursor); it is done in a short transaction behind the
        answer.
        """
        self.later_do(lambda db: db.execute(sql, params))

    def later_do(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """The same for what has to look at the board as it is then."""
        self.pending.append(work)

    @property
    def shows_archived(self) -> bool:
        """Whether objects carry `archived` besides `in_trash`: the older version only."""
        return self.version == "2025-09-03"

    def not_found(self, kind: str, identifier: str) -> ApiError:
        """404 in the words of 2026: missing and not shared look the same."""
        return ApiError(
            404,
            "object_not_found",
            f"Could not find {kind} with ID: {identifier}. Make sure the relevant pages and databases are"
            f' shared with your integration "{BOT_NAME}".',
            additional={"integration_id": self.board.bot_id},
        )

    def event(self, kind: str, entity: str, identifier: str, data: dict[str, Any]) -> None:
        """Notes what happened: in the event log, which the API never shows, and for webhook subscribers."""
        cursor = self.db.execute(
            "INSERT INTO event(at, author, type, entity, data) VALUES (?, ?, ?, ?, ?)",
            (self.now, self.actor, kind, identifier, dumps(data)),
        )
        key = cursor.lastrowid or 0
        if key % _PRUNE_EVERY == 0:
            self.db.execute("DELETE FROM event WHERE key <= ?", (key - EVENTS_KEPT,))
        happened = {"type": kind, "entity": {"id": identifier, "type": entity}, "data": data}
        self.events.append(happened)
        self.board.webhooks.enqueue(self, happened)

    def schema(self, key: int) -> Schema:
        """The parsed schema of a data source."""
        return self.board.schema(self.db, key)
