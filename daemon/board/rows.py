"""Rows of a further database: found, made once, changed and read back. Implements ``daemon.sdk.Rows``.

The same connection, budget and retry policy as for tasks. Nothing here changes a schema: a select or
multi_select gets only options that it has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from daemon.board import connect, query, reading, writing
from daemon.board.answers import Refused, passes
from daemon.board.creating import LOOKS
from daemon.board.databases import Field
from daemon.board.schema import Column, column_of, folded, listed
from daemon.board.transport import Transport
from daemon.core import ids
from daemon.core.errors import Ambiguous, ConfigError, NotFound, PermanentError, TransientError
from daemon.sdk import Row

T = TypeVar("T")

UPDATE_CALLS = 3
"""Read, write, read back."""

BIND_AGAIN_S = 900.0
"""How long a schema is believed; a refused call reads it again at once."""


class BoardRows:
    """One database of the settings. Safe for all threads."""

    def __init__(
        self,
        transport: Transport,
        name: str,
        database: str,
        fields: Mapping[str, Field],
        names: Mapping[str, str],
        *,
        clock: Callable[[], float],
    ) -> None:
        """``database``: id or URL. ``names``: key → property name of the settings, before the usual ones."""
        self._transport = transport
        self._name = name
        self._database = database
        self._fields = fields
        self._names = names
        self._clock = clock
        self._lock = threading.RLock()
        self._making = threading.Lock()
        self._source: connect.Source | None = None
        self._columns: dict[str, Column] = {}
        self._read_at = 0.0

    @property
    def title(self) -> str:
        """What the database is called on the board."""
        return self._open()[0].title

    @property
    def keys(self) -> frozenset[str]:
        """Keys that the database has a property for."""
        return frozenset(self._open()[1])

    def find(self, any_of: Mapping[str, str]) -> list[Row]:
        """Rows where a key's text contains the given one, oldest first; keys without a property and empty
        texts are left out, and with none left nothing is asked and nothing found."""
        return self._adapt(lambda: list(self._walk(self._texts(any_of))))

    def first(self, where: Mapping[str, bool], limit: int, skip: Callable[[Row], bool]) -> list[Row]:
        """The oldest ``limit`` rows that ``skip`` does not leave out. ``where``: checkbox → its state, other
        → whether it has a value. Reads no further than it must."""

        def act() -> list[Row]:
            found: list[Row] = []
            for row in self._walk(self._states(where)):
                if not skip(row):
                    found.append(row)
                if len(found) >= limit:
                    break
            return found

        return self._adapt(act)

    def read(self, row: str) -> Row:
        """One row, now. NotFound when it is gone, in the trash, or of another database."""
        return self._adapt(lambda: self._read(row))

    def create(self, by: str, values: Mapping[str, Any]) -> Row:
        """The row whose text ``by`` is ``values[by]``: found, else made. Twice gives one row."""
        if by not in self.keys:
            raise ConfigError(f"“{self.title}” has no property for {by}, so a row can't be made only once")
        patience = self._transport.patience()
        with self._making:
            return self._transport.insist(
                lambda: self._adapt(lambda: self._find_or_make(by, values)), passes, patience
            )

    def update(self, row: str, values: Mapping[str, Any]) -> Row:
        """Write what the row does not say yet, and nothing else. Raises PermanentError when the board took
        the write and shows something else."""
        patience = self._transport.patience()
        return self._transport.insist(
            lambda: self._adapt(lambda: self._update(row, values)), passes, patience
        )

    # ── the calls ─────────────────────────────────────────────────────────────────────────────────

    def _read(self, row: str) -> Row:
        source, _ = self._open()
        page = self._transport.call("rows", "GET", f"pages/{ids.dashed(row)}")
        parent = str((page.get("parent") or {}).get("data_source_id") or "").replace("-", "")
        if page.get("in_trash") or page.get("archived") or parent != source.id:
            raise NotFound(f"row {row} is not in “{source.title}” any more")
        return self._row(page)

    def _find_or_make(self, by: str, values: Mapping[str, Any]) -> Row:
        known = self._same(by, str(values[by]))
        if known is not None:
            return known
        source, columns = self._open()
        body = {
            "parent": {"type": "data_source_id", "data_source_id": ids.dashed(source.id)},
            "properties": payload(columns, values),
        }
        try:
            page = self._transport.call("rows", "POST", "pages", body=body, repeat=False)
        except Ambiguous:
            landed = self._same_later(by, str(values[by]))
            if landed is not None:
                return landed
            raise
        return self._row(page) if "properties" in page else self._read(ids.normalise(str(page["id"])))

    def _same(self, by: str, text: str) -> Row | None:
        rows = self._walk(self._texts({by: text}))
        return next((r for r in rows if str(r.values.get(by) or "").strip() == text), None)

    def _same_later(self, by: str, text: str) -> Row | None:
        for wait in LOOKS:
            try:
                self._transport.pause(wait)
                found = self._same(by, text)
            except TransientError as error:
                raise Ambiguous(f"the board lost the answer to a creation: {error.one_line()}") from error
            if found is not None:
                return found
        return None

    def _update(self, row: str, values: Mapping[str, Any]) -> Row:
        _, columns = self._open()
        # No wait for the budget between the read and the write: a list is replaced whole, so what a person
        # adds in between would be lost.
        with self._transport.places(UPDATE_CALLS, self._transport.patience()):
            current = self._read(row)
            change = payload(columns, values, current)
            if not change:
                return current
            path = f"pages/{ids.dashed(row)}"
            self._transport.call("rows", "PATCH", path, body={"properties": change}, repeat=False)
            after = self._read(row)
        left = payload(columns, values, after)
        if left:
            named = listed(c.name for c in columns.values() if c.id in left)
            raise PermanentError(
                f"the board took the write to a row of “{self.title}” and shows another {named}",
                hint="an automation may set it back: look at the database's automations",
            )
        return after

    def _walk(self, where: dict[str, Any] | None) -> Iterator[Row]:
        if where == {}:
            return
        source, columns = self._open()
        wanted = [c.id for c in columns.values()]
        for page in query.walk(
            self._transport, ids.dashed(source.id), purpose="rows", where=where, columns=wanted
        ):
            yield self._row(page)

    # ── the schema ────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> tuple[connect.Source, dict[str, Column]]:
        with self._lock:
            if self._source is None or abs(self._clock() - self._read_at) >= BIND_AGAIN_S:
                self._bind()
            assert self._source is not None  # noqa: S101 - _bind sets it or raises
            return self._source, self._columns

    def _bind(self) -> None:
        setting = f"board.{self._name}_"
        try:
            source = connect.resolve(self._transport, self._database, "", setting=setting)
        except NotFound as error:
            raise ConfigError(error.message, hint=error.hint) from error
        columns = bind(source.properties, self._fields, self._names, setting)
        self._source, self._columns, self._read_at = source, columns, self._clock()

    def _adapt(self, act: Callable[[], T]) -> T:
        """``act``; when the API refuses it, once more with the schema as it is now (a renamed property)."""
        with self._transport.operation():
            try:
                return act()
            except Refused:
                with self._lock:
                    before = self._columns
                    self._bind()
                    if self._columns == before:
                        raise
            return act()

    def _texts(self, any_of: Mapping[str, str]) -> dict[str, Any]:
        _, columns = self._open()
        wanted = {k: v for k, v in any_of.items() if v and k in columns}
        found = [
            {"property": columns[k].id, columns[k].type: {"contains": text}} for k, text in wanted.items()
        ]
        return {"or": found} if found else {}

    def _states(self, where: Mapping[str, bool]) -> dict[str, Any] | None:
        _, columns = self._open()
        found: list[dict[str, Any]] = []
        for key, state in where.items():
            column = columns.get(key)
            if column is None:
                raise ConfigError(f"“{self.title}” has no property for {key}")
            if column.type == "checkbox":
                found.append({"property": column.id, "checkbox": {"equals": state}})
            else:
                found.append({"property": column.id, column.type: {_FILLED[state]: True}})
        return {"and": found} if found else None

    def _row(self, page: Mapping[str, Any]) -> Row:
        values = reading.by_id(page)
        return Row(
            id=ids.normalise(str(page["id"])),
            url=str(page.get("url") or ""),
            values={key: _plain(values.get(column.id)) for key, column in self._columns.items()},
        )


_FILLED = {True: "is_not_empty", False: "is_empty"}


def bind(
    properties: Mapping[str, Any], fields: Mapping[str, Field], names: Mapping[str, str], setting: str
) -> dict[str, Column]:
    """Key → property: the first of its names that exists with a type that can hold it. Pure.

    Raises ConfigError with every name of the settings that is no property, or of a type that does not fit.
    """
    present = {folded(name): name for name in reversed(list(properties))}
    problems = [f"{setting}properties.{k} is not a key" for k in names if k not in fields]
    out: dict[str, Column] = {}
    taken: set[str] = set()
    for key, field in fields.items():
        given = names.get(key)
        if given == "":
            continue
        for name in (given,) if given else field.names:
            real = given if given in properties else present.get(folded(name))
            fits = real is not None and str(properties[real].get("type")) in field.types
            if real is not None and fits and real not in taken:
                out[key] = column_of(key, real, properties[real])
                taken.add(real)
                break
            if given:
                problems.append(f"{setting}properties.{key}: no property “{given}” of type {field.types}")
    if "title" not in out and (title := next((n for n, p in properties.items() if p["type"] == "title"), "")):
        out["title"] = column_of("title", title, properties[title])
    if problems:
        raise ConfigError(f"the {setting.strip('_')} database does not fit", problems=tuple(problems))
    return out


def payload(columns: Mapping[str, Column], values: Mapping[str, Any], current: Row | None = None) -> Any:
    """The properties to write by id: what differs from ``current``, as far as the columns can hold it."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        column = columns.get(key)
        shown = current.values.get(key) if current is not None else None
        made = _held(column, value, shown) if column is not None else None
        if column is None or made is None:
            continue
        if current is None or _told(column, made) != current.values.get(key):
            out[column.id] = made
    return out


def _held(column: Column, value: Any, shown: Any) -> dict[str, Any] | None:
    """A value in the shape of its column; None = the column can't hold it.

    ``shown``: what the row has there. A list of options replaces the whole list, so an option that the row
    shows goes by its name when it is too new for the schema that we know: it must not get lost.
    """
    match column.type:
        case "checkbox":
            return {"checkbox": bool(value)}
        case "number":
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return {"number": value} if number or value is None else None
        case "multi_select":
            names = [value] if isinstance(value, str) else [str(name) for name in value or ()]
            kept = shown if isinstance(shown, list) else []
            known = {name: {"id": i} for name in names if (i := column.option_id(name)) is not None}
            new = {name: {"name": name} for name in names if name in kept and name not in known}
            have = [option for name in names if (option := known.get(name) or new.get(name))]
            return {"multi_select": have} if have or not names else None
        case "select":
            text = _line(value)
            found = column.option_id(text)
            return {"select": {"id": found}} if found else None
        case "date":
            return {"date": {"start": str(value)} if value else None}
    return writing.value(column, _line(value))


def _line(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value) if isinstance(value, list | tuple) else ""


def _told(column: Column, made: Mapping[str, Any]) -> Any:
    """What a payload will read as once it is written."""
    inner = made[column.type]
    match column.type:
        case "title" | "rich_text":
            return "".join(run["text"]["content"] for run in inner)
        case "multi_select":
            return [o.get("name") or column.options[o["id"]] for o in inner]
        case "select":
            return column.options[inner["id"]]
        case "url":
            return inner or ""
    return _plain({"type": column.type, **made})


def _plain(value: Mapping[str, Any] | None) -> Any:
    """A property as text, number, truth value or list of names."""
    kind = str((value or {}).get("type", ""))
    inner = (value or {}).get(kind)
    match kind:
        case "checkbox":
            return bool(inner)
        case "number":
            return inner
        case "multi_select":
            return [str(o.get("name", "")) for o in inner or []]
        case "date":
            moment = reading.moment((inner or {}).get("start"))
            return moment.isoformat(timespec="minutes") if moment else ""
    return reading.text(value)
