"""Names of related pages (assigned agents), remembered for a while so that a look stays one call."""

from __future__ import annotations

import threading
from collections.abc import Callable

from daemon.board import connect, query, reading
from daemon.board.transport import Transport
from daemon.core import ids
from daemon.core.errors import NotFound
from daemon.sdk import Log

KEEP_S = 600.0
"""How long a title is believed; agents are renamed rarely."""


class Titles:
    """Id ↔ title of related pages. Thread-safe."""

    def __init__(
        self, transport: Transport, agents_database: str, *, clock: Callable[[], float], log: Log
    ) -> None:
        """``agents_database``: id or URL of the Agents database; read whole in one query when it is given."""
        self._transport = transport
        self._database = agents_database
        self._clock = clock
        self._log = log
        self._lock = threading.RLock()
        self._known: dict[str, tuple[float, str]] = {}
        self._read_at: float | None = None

    def of(self, page_id: str) -> str:
        """The page's title. For a page that can't be read: ``page <id>``, which names no agent, so that an
        unreadable assignment is seen and not taken for none."""
        with self._lock:
            known = self._fresh(page_id)
            if known is None and self._database:
                self._read_all()
                known = self._fresh(page_id)
            return known if known is not None else self._read_one(page_id)

    def pages_called(self, title: str) -> list[str]:
        """Ids of the agent pages with this title, from the Agents database; [] when there is none."""
        with self._lock:
            if self._database:
                self._read_all()
            return [i for i, (_, known) in self._known.items() if known.strip() == title.strip()]

    def _fresh(self, page_id: str) -> str | None:
        known = self._known.get(page_id)
        return known[1] if known and 0 <= self._clock() - known[0] < KEEP_S else None

    def _read_all(self) -> None:
        now = self._clock()
        if self._read_at is not None and 0 <= now - self._read_at < KEEP_S:
            return
        source = connect.resolve(self._transport, self._database, "", setting="board.agents_")
        oldest = [{"timestamp": "created_time", "direction": "ascending"}]
        for row in query.rows(
            self._transport,
            ids.dashed(source.id),
            purpose="agents",
            where=None,
            sorts=oldest,
            columns=["title"],
        ):
            self._known[ids.normalise(str(row["id"]))] = (now, title(row))
        self._read_at = now

    def _read_one(self, page_id: str) -> str:
        try:
            found = title(self._transport.call("agents", "GET", f"pages/{ids.dashed(page_id)}"))
        except NotFound as error:
            self._log.warning("board.agent_unreadable", page=page_id, error=error.one_line())
            found = f"page {page_id}"
        self._known[page_id] = (self._clock(), found)
        return found


def title(page: reading.Value) -> str:
    """The title of any page, whatever its title property is called."""
    for value in reading.by_id(page).values():
        if value.get("type") == "title":
            return reading.plain(value.get("title"))
    return ""
