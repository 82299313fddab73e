"""Property values in the forms that filters and sorts compare: the columns of a rows table.

| types | columns | meaning |
|---|---|---|
| title, rich_text, url, email, phone_number | c_t, c_f, c_k | text, lower case unless ASCII, sort key |
| number, unique_id, checkbox | c_n | number; checkbox 0/1 |
| select, status | c_o | position of the option |
| multi_select | c_s, c_k | "|option id|…|", positions as text for sorting |
| people, relation, files | c_s | "|id|…|", for files their names; NULL when empty |
| date | c_a, c_z | start as UTC minute (midnight for a bare date), 1 where it has a time part |
| verification | c_n | 1 verified, 0 not |
| place, button and others | c_n | 1 where set; not filterable |

Created and edited times and people are fixed columns.  Formulas and rollups have none: they are computed
when a query asks for them (computed.py), because they depend on other pages and on the present time.
"""

# table and column names are made by the board itself; values are always parameters

from __future__ import annotations

import sqlite3
from typing import Any

from daemon.local_board import richtext
from daemon.local_board.natural import natural_key
from daemon.local_board.schema import ACTOR_TYPES, COMPUTED_TYPES, TEXT_TYPES, TIME_TYPES, Property, Schema
from daemon.local_board.times import parse_moment

INDEX_PREFIX = 80
"""Characters of a text that its index holds; equality compares these first and then the whole."""

_FORMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(TEXT_TYPES, ("t", "f", "k")),
    "number": ("n",),
    "unique_id": ("n",),
    "checkbox": ("n",),
    "select": ("o",),
    "status": ("o",),
    "multi_select": ("s", "k"),
    "people": ("s",),
    "relation": ("s",),
    "files": ("s",),
    "date": ("a", "z"),
    **dict.fromkeys(ACTOR_TYPES | TIME_TYPES | COMPUTED_TYPES, ()),
}
_NARROW = ("n", "o", "a", "z")
HELD_COLUMNS = 16
"""Narrow columns that an option's index holds beside its own: enough for usual schemas, with a bound."""

_TYPES = {"t": "TEXT", "f": "TEXT", "k": "TEXT", "s": "TEXT", "n": "NUMERIC", "o": "INTEGER"}


def forms(type_name: str) -> tuple[str, ...]:
    """The column suffixes of a property type."""
    return _FORMS.get(type_name, ("n",))


def column(prop: Property, form: str) -> str:
    """Name of one column."""
    return f"c{prop.number}_{form}"


def text_columns(prop: Property) -> list[str]:
    """The columns of which `folded` is made."""
    return [column(prop, form) for form in (("t", "f") if "t" in forms(prop.type) else ("s",))]


def folded(prop: Property) -> str:
    """SQL of a text in lower case, or of a list of ids; '' where it is empty."""
    if "t" not in forms(prop.type):
        return f"coalesce({column(prop, 's')}, '')"
    # Lower case is stored only where SQLite's own lower(), which knows ASCII, would not do.
    return f"coalesce({column(prop, 'f')}, lower({column(prop, 't')}), '')"


def create_rows_table(db: sqlite3.Connection, schema: Schema) -> None:
    """The rows table of a new data source."""
    db.execute(
        f"CREATE TABLE {schema.table} (page INTEGER PRIMARY KEY, created INTEGER NOT NULL,"
        " edited INTEGER NOT NULL, created_by TEXT NOT NULL, edited_by TEXT NOT NULL,"
        " trash INTEGER NOT NULL DEFAULT 0)"
    )
    for prop in schema.properties:
        _add(db, schema, prop)
    _index_options(db, schema)


def add_columns(db: sqlite3.Connection, schema: Schema, prop: Property) -> None:
    """Columns (and the index that serves equality and ranges) for a property that is new to the data
    source.
    """
    _add(db, schema, prop)
    if _narrow(prop):
        _index_options(db, schema)


def _add(db: sqlite3.Connection, schema: Schema, prop: Property) -> None:
    for form in forms(prop.type):
        name = column(prop, form)
        default = " NOT NULL DEFAULT 0" if prop.type == "checkbox" else ""
        db.execute(f"ALTER TABLE {schema.table} ADD COLUMN {name} {_TYPES.get(form, 'INTEGER')}{default}")
    indexed = {"t": f"substr({{}}, 1, {INDEX_PREFIX})", "n": "{}", "a": "{}"}
    for form in forms(prop.type):
        if form in indexed and prop.type != "checkbox":
            name = column(prop, form)
            db.execute(f"CREATE INDEX {schema.table}_{name} ON {schema.table}({indexed[form].format(name)})")
    if prop.type == "title":
        # All rows by title is what people look at, and the one order that would sort every row's text.
        name = column(prop, "k")
        db.execute(f"CREATE INDEX {schema.table}_{name} ON {schema.table}({name}, page DESC) WHERE trash = 0")


def drop_columns(db: sqlite3.Connection, schema: Schema, prop: Property) -> None:
    """Forgets a property that was deleted or changed its type."""
    if _narrow(prop):
        for name in _narrow_columns(db, schema):
            if name.endswith("_o"):
                db.execute(f"DROP INDEX IF EXISTS {schema.table}_{name}")
    for form in forms(prop.type):
        name = column(prop, form)
        db.execute(f"DROP INDEX IF EXISTS {schema.table}_{name}")
        db.execute(f"ALTER TABLE {schema.table} DROP COLUMN {name}")
    if _narrow(prop):
        _index_options(db, schema)


def _narrow(prop: Property) -> bool:
    return any(form in _NARROW for form in forms(prop.type))


def _narrow_columns(db: sqlite3.Connection, schema: Schema) -> list[str]:
    names = (row["name"] for row in db.execute(f"PRAGMA table_info({schema.table})"))
    return [name for name in names if name.rpartition("_")[2] in _NARROW and name[1:2].isdigit()]


def _index_options(db: sqlite3.Connection, schema: Schema) -> None:
    """An index for each select and status that also holds what rows are sorted by.

    Many rows have the same status, and reading each of them for its place in the order would cost more than
    the rest of the query: rows are wide.
    """
    narrow = _narrow_columns(db, schema)
    for name in narrow:
        if name.endswith("_o"):
            held = [name, *(other for other in narrow[:HELD_COLUMNS] if other != name), "created", "trash"]
            db.execute(f"DROP INDEX IF EXISTS {schema.table}_{name}")
            db.execute(f"CREATE INDEX {schema.table}_{name} ON {schema.table}({', '.join(held)})")


def _joined(values: list[str]) -> str | None:
    return "|" + "|".join(values) + "|" if values else None


def _date_forms(value: dict[str, Any] | None) -> dict[str, Any]:
    moment = parse_moment(value["start"]) if value else None
    if moment is None:
        return {"a": None, "z": None}
    return {"a": moment.minute, "z": int(moment.timed)}


def text_of(prop: Property, value: Any) -> str:
    """Plain text of a text property's stored value."""
    if prop.type in ("title", "rich_text"):
        return richtext.plain(value or [])
    return value or ""


def cells(prop: Property, value: Any) -> dict[str, Any]:
    """Column name to cell for one stored value (None is an empty property)."""
    kind = prop.type
    out: dict[str, Any]
    if kind in TEXT_TYPES:
        text = text_of(prop, value) or None
        out = {
            "t": text,
            "f": text.lower() if text and not text.isascii() else None,
            "k": text and natural_key(text),
        }
    elif kind == "checkbox":
        out = {"n": int(bool(value))}
    elif kind in ("number", "unique_id"):
        out = {"n": value}
    elif kind in ("select", "status"):
        out = {"o": None if value is None else prop.rank(value)}
    elif kind == "multi_select":
        ranks = [rank for rank in (prop.rank(item) for item in value or []) if rank is not None]
        out = {"s": _joined(value or []), "k": "".join(f"{rank:05d}" for rank in ranks) or None}
    elif kind in ("people", "relation"):
        out = {"s": _joined(value or [])}
    elif kind == "files":
        out = {"s": _joined([item["name"] for item in value or []])}
    elif kind == "date":
        out = _date_forms(value)
    elif kind == "verification":
        out = {"n": int(value is not None and value["state"] == "verified")}
    elif forms(kind):
        out = {"n": None if value is None else 1}
    else:
        out = {}
    return {column(prop, form): cell for form, cell in out.items()}
