"""What all operations share: the bound schema and its drift, pages read and written, and what was seen of
them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from daemon.board import connect, query, reading
from daemon.board.answers import Refused, passes
from daemon.board.editors import Editors
from daemon.board.pins import PinFile
from daemon.board.schema import Binding, Column, bind, listed
from daemon.board.seen import Seen, Sight
from daemon.board.titles import Titles
from daemon.board.transport import Transport
from daemon.core import ids
from daemon.core.errors import Ambiguous, ConfigError, NotFound, TransientError
from daemon.core.task import Task
from daemon.sdk import Log
from daemon.settings.model import BoardSettings

T = TypeVar("T")

OnDrift = Callable[[Sequence[str], Sequence[str]], None]
"""(what was renamed, in words; keys whose property is gone)."""

SCHEMA_CHECK_S = 900.0
"""How often a look reads the schema again. A renamed option makes a filter match nothing without an error
(incident AT-6), so it can't be noticed in the answers alone. One call in thirty at the default interval."""

PAIR = 2
"""Calls of a guarded write on a page that was not seen lately: read, write."""

PAGE_LOCKS = 64
"""Two pages that share a lock wait for each other's write, no more."""

_DRIFT = (
    "is not a property that exists",
    "Could not find property",
    "Could not find sort property",
    "is expected to be",
    "does not match the property type",
    "does not match filter",
    "Invalid status option",
    "option",
    "filter_properties",
)
"""Parts of the messages with which the API refuses a call made for a schema that is no more."""


class Session:
    """One board, opened on first use."""

    def __init__(
        self,
        settings: BoardSettings,
        transport: Transport,
        *,
        clock: Callable[[], float],
        log: Log,
        pins: PinFile | None = None,
        on_drift: OnDrift | None = None,
        cautious: bool = False,
    ) -> None:
        """``clock``: epoch seconds. ``pins``: where ids are kept for the next start; None = nowhere.
        ``cautious``: every guarded write reads its page first, however lately it was seen."""
        self._settings = settings
        self._pins = pins
        self._on_drift = on_drift
        self.transport = transport
        self.clock = clock
        self.log = log
        self.seen = Seen(clock, keeps=not cautious)
        self.titles = Titles(transport, settings.agents_database_id, clock=clock, log=log)
        self.editors = Editors(transport, log=log)
        self._lock = threading.RLock()
        self._pages = tuple(threading.RLock() for _ in range(PAGE_LOCKS))
        self._source: connect.Source | None = None
        self._binding: Binding | None = None
        self._checked = 0.0

    def open(self) -> tuple[connect.Source, Binding]:
        """Resolve and bind anew, from the settings and from what was pinned at an earlier start.

        ConfigError when the database of the settings is not there: a restart can't help.
        """
        with self._lock:
            try:
                source = self.resolve()
            except NotFound as error:
                raise ConfigError(error.message, hint=error.hint) from error
            pinned = self.recalled(source)
            binding = self._bind(source, pinned)
            gone = [k for k in binding.missing if pinned and k in pinned.columns]
            self._settle_on(source, binding, gone)
            return source, binding

    def resolve(self) -> connect.Source:
        """The data source that the settings mean, with its schema as it is now."""
        return connect.resolve(self.transport, self._settings.database_id, self._settings.data_source_id)

    def recalled(self, source: connect.Source) -> Binding | None:
        """What an earlier start pinned for this source; see ``PinFile.recall``."""
        if self._pins is None:
            return None
        return self._pins.recall(source.id, self._settings.properties, self._settings.status)

    def _settle_on(self, source: connect.Source, binding: Binding, gone: list[str]) -> None:
        if binding.renamed or gone:
            self.log.warning("board.schema_changed", renamed=list(binding.renamed), gone=gone)
            if self._on_drift is not None:
                self._on_drift(list(binding.renamed), gone)
        if self._pins is not None:
            self._pins.keep(source.id, binding, self._settings.properties, self._settings.status)
        self._source, self._binding = source, binding
        self._checked = self.clock()

    @property
    def opened(self) -> tuple[connect.Source, Binding]:
        """The source and its binding; opened when it is not yet."""
        with self._lock:
            if self._source is None or self._binding is None:
                return self.open()
            return self._source, self._binding

    def check_schema(self) -> None:
        """Read the schema again when the last reading is SCHEMA_CHECK_S old."""
        with self._lock:
            if self._binding is not None and abs(self.clock() - self._checked) >= SCHEMA_CHECK_S:
                self._rebind()

    def _bind(self, source: connect.Source, pinned: Binding | None) -> Binding:
        return bind(source.properties, self._settings.properties, self._settings.status, pinned)

    def _rebind(self) -> Binding:
        with self._lock:
            source, old = self.opened
            fresh = connect.read(self.transport, source.id)
            binding = self._bind(fresh, old)
            self._settle_on(fresh, binding, [k for k in binding.missing if k not in old.missing])
            return binding

    def adapt(self, act: Callable[[Binding], T], task_id: str = "") -> T:
        """``act`` with the binding; when the API refuses it for its schema, once more with a fresh one.

        ``task_id``: the page that it is about, which is looked at anew then: it may have been moved.
        """
        _, binding = self.opened
        try:
            return act(binding)
        except (Refused, ConfigError) as error:
            if isinstance(error, Refused) and not _drifted(error):
                raise
        binding = self._rebind()
        self.seen.forget(task_id)
        try:
            return act(binding)
        except Refused as error:
            if not _drifted(error):
                raise
            names = listed(c.name for c in binding.columns.values() if c.name in error.api_message)
            raise ConfigError(
                f"the board refuses the schema that it declares (property {names}): {error.api_message}",
                hint="look at the property in Notion; `handoffd doctor` shows what is bound",
            ) from error

    def guarded(self, task_id: str, act: Callable[[Binding], T]) -> T:
        """``settle`` for a write that depends on what the page says: it holds its places in the budget first,
        so that no wait comes between the page's last sight and the write. One at a time for a page: a tick
        that renews a lease must not land behind the run's own last write, which ends it."""

        def once(binding: Binding) -> T:
            patience = self.transport.patience()
            with self._pages[hash(task_id) % PAGE_LOCKS]:
                if self.seen.fresh(task_id):
                    with self.transport.places(1, patience):
                        if self.seen.fresh(task_id):  # it may have become old while we waited
                            return act(binding)
                with self.transport.places(PAIR, patience):
                    return act(binding)

        return self.settle(task_id, once)

    def settle(self, task_id: str, act: Callable[[Binding], T]) -> T:
        """An operation on one page: after a lost answer everything is looked at again before it is repeated,
        after any other wait what is not fresh any more."""
        patience = self.transport.patience()

        def once() -> T:
            try:
                return self.adapt(act, task_id)
            except Exception as error:
                if isinstance(error, Ambiguous) or not isinstance(error, TransientError):
                    self.seen.forget(task_id)
                raise

        return self.transport.insist(once, passes, patience)

    def sight(self, task_id: str, binding: Binding) -> Sight:
        """The page as seen a moment ago, else read now."""
        return self.seen.fresh(task_id) or self.fetch(task_id, binding, "readback")

    def fetch(self, task_id: str, binding: Binding, purpose: str) -> Sight:
        """The page, read now. NotFound when it is gone, trashed, moved elsewhere or not shared."""
        asked = self.clock()
        page = self.transport.call(purpose, "GET", f"pages/{ids.dashed(task_id)}")
        self.must_be_ours(page, task_id)
        found = self.task(page, binding)
        self.seen.put(found, asked, direct=True)
        return Sight(found, asked, direct=True)

    def patch(self, task_id: str, properties: dict[str, Any], binding: Binding, purpose: str) -> Task:
        """Write properties; the page as answered. One try: what it rests on may have changed by the next."""
        known = self.seen.fresh(task_id)
        body = {"properties": properties}
        path = f"pages/{ids.dashed(task_id)}"
        page = self.transport.call(purpose, "PATCH", path, body=body, repeat=False)
        if "properties" not in page:
            return self.fetch(task_id, binding, "readback").task
        cut = reading.truncated(page, binding.columns.values())
        if cut and (known is None or any(c.type != "relation" for c in cut)):
            return self.fetch(task_id, binding, "readback").task
        found = reading.task(page, binding, self.titles.of)
        if cut and known is not None:  # nothing that we write: what was read whole before still holds
            found = replace(found, after=known.task.after, agents=known.task.agents)
        self.seen.put(found, self.clock(), direct=True)
        return found

    def task(self, page: dict[str, Any], binding: Binding) -> Task:
        """The task on a page, with relations and mentions beyond the 25 that a page holds (pain 26)."""
        for column in reading.truncated(page, binding.columns.values()):
            value = next(v for v in page["properties"].values() if v.get("id") == column.id)
            value[column.type] = self._whole(str(page["id"]), column)
        return reading.task(page, binding, self.titles.of)

    def tasks_by(
        self,
        where: Callable[[Binding], dict[str, Any] | None],
        purpose: str,
        *,
        newest_first: bool = False,
    ) -> list[Task]:
        """Tasks by a filter, made for the binding: all pages of the answer."""

        def act(binding: Binding) -> list[Task]:
            asked = self.clock()
            source, _ = self.opened
            direction = "descending" if newest_first else "ascending"
            sorts = [{"timestamp": "created_time", "direction": direction}]
            if number := binding.columns.get("number"):
                sorts.append({"property": number.id, "direction": direction})
            rows = query.rows(
                self.transport,
                ids.dashed(source.id),
                purpose=purpose,
                where=where(binding),
                sorts=sorts,
                columns=[c.id for c in binding.columns.values()],
            )
            found = [self.task(row, binding) for row in rows]
            for one in found:
                self.seen.put(one, asked, direct=False)
            return found

        return self.adapt(act)

    def must_be_ours(self, page: dict[str, Any], task_id: str) -> None:
        """NotFound unless the page is a living row of our database."""
        if page.get("in_trash") or page.get("archived"):
            raise NotFound(f"task {task_id} is in the trash", hint="restore it in Notion, or leave it there")
        source, _ = self.opened
        parent = page.get("parent") or {}
        where = str(parent.get("data_source_id") or "").replace("-", "")
        if where != source.id:
            raise NotFound(
                f"page {task_id} is not in the tasks database “{source.title}”",
                hint="it was moved, or the id is another page's",
            )

    def _whole(self, page_id: str, column: Column) -> list[Any]:
        found = query.items(self.transport, "relation", f"pages/{page_id}/properties/{column.id}")
        return [item[column.type] for item in found if isinstance(item.get(column.type), dict)]


def _drifted(error: Refused) -> bool:
    return any(part in error.api_message for part in _DRIFT)
