"""Formulas and rollups: their values, computed when somebody looks.

They are not stored: they depend on other pages and on the present time.  A query that filters or sorts by
one calls `calc(page, property, form)` from SQL; the forms are those of cells.py, and "sort".
"""

from __future__ import annotations

import math
import sqlite3
import statistics
from collections.abc import Callable
from typing import Any

from daemon.local_board import richtext
from daemon.local_board.board import Call
from daemon.local_board.formula_eval import evaluate
from daemon.local_board.formula_types import result_type
from daemon.local_board.formula_values import FormulaDate, FormulaPage, is_number, read_date, show, tidy
from daemon.local_board.natural import natural_key
from daemon.local_board.schema import TEXT_TYPES, Property, Schema
from daemon.local_board.texts import loads
from daemon.local_board.times import minute, parse_moment

DEPTH_LIMIT = 10
"""Formulas and rollups that look at each other; behind it a value is empty (the product refuses deeper
chains).
"""


_INPUT_TYPES = {
    "number": "number",
    "checkbox": "boolean",
    "date": "date",
    "created_time": "date",
    "last_edited_time": "date",
}
"""What a formula sees of a property; everything else is text to it, or a list that is served as text."""


def served(call: Call, row: sqlite3.Row, schema: Schema, prop: Property) -> Any:
    """The value of a computed property as a page shows it."""
    if prop.type == "formula":
        value = formula_value(call, row, schema, prop, 0)
        if value is None or value == "":
            kind = formula_type(call, schema, prop)
            return {"type": kind, kind: None}
        return _served_formula(value)
    return _served_rollup(call, row, schema, prop)


def _served_formula(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"type": "boolean", "boolean": value}
    if is_number(value):
        return {"type": "number", "number": value if math.isfinite(value) else None}
    if isinstance(value, FormulaDate):
        return {"type": "date", "date": value.served()}
    return {"type": "string", "string": show(value) or None}


def formula_type(call: Call, schema: Schema, prop: Property, depth: int = 0) -> str:
    """What a formula gives: "string", "number", "boolean" or "date"."""

    def of(identifier: str) -> str:
        other = schema.by_id(identifier)
        if other is None or depth >= DEPTH_LIMIT:
            return "string"
        if other.type == "formula":
            return formula_type(call, schema, other, depth + 1)
        if other.type == "rollup":
            function = other.config["function"]
            listed = function in ("show_original", "show_unique")
            return "string" if listed else "date" if function in DATE_FUNCTIONS else "number"
        if other.type == "unique_id":
            return "string" if other.config.get("prefix") else "number"
        return _INPUT_TYPES.get(other.type, "string")

    return result_type(prop.config["expression"], of)


def formula_value(call: Call, row: sqlite3.Row, schema: Schema, prop: Property, depth: int) -> Any:
    """What a formula comes to on one page."""
    stored = loads(row["properties"])

    def read(identifier: str) -> Any:
        other = schema.by_id(identifier)
        return None if other is None else formula_input(call, row, schema, other, stored, depth + 1)

    return evaluate(prop.config["expression"], read, call.now)


def formula_input(
    call: Call, row: sqlite3.Row, schema: Schema, prop: Property, stored: dict[str, Any], depth: int
) -> Any:
    """A property as a formula sees it."""
    kind, value = prop.type, stored.get(prop.id)
    if kind in ("title", "rich_text"):
        return richtext.plain(value or [])
    if kind in TEXT_TYPES:
        return value or ""
    if kind == "checkbox":
        return bool(value)
    if kind in ("select", "status"):
        option = prop.option(id=value) if value else None
        return option["name"] if option else ""
    if kind == "multi_select":
        return [option["name"] for option in (prop.option(id=item) for item in value or []) if option]
    if kind == "date":
        return read_date(value)
    if kind in ("created_time", "last_edited_time"):
        return read_date({"start": minute(row["created" if kind == "created_time" else "edited"])})
    if kind in ("people", "created_by", "last_edited_by"):
        ids = (
            value or [] if kind == "people" else [row["created_by" if kind == "created_by" else "edited_by"]]
        )
        names = [_user_name(call, identifier) for identifier in ids]
        return names if kind == "people" else names[0]
    if kind == "relation":
        return [
            FormulaPage(page["key"], page["id"], page["title"]) for page in related(call, row["key"], prop)
        ]
    if kind == "files":
        return [item["name"] for item in value or []]
    if kind == "unique_id":
        prefix = prop.config.get("prefix")
        return f"{prefix}-{value}" if prefix else value
    if kind == "formula":
        return formula_value(call, row, schema, prop, depth) if depth < DEPTH_LIMIT else None
    if kind == "rollup":
        return _rollup_input(call, row, schema, prop, depth)
    return value


def _user_name(call: Call, identifier: str) -> str:
    row = call.db.execute("SELECT name FROM user WHERE id = ?", (identifier,)).fetchone()
    return row["name"] if row is not None else ""


def related(call: Call, page: int, relation: Property) -> list[sqlite3.Row]:
    """The pages that a relation names, in their order, those in the trash left out."""
    return call.db.execute(
        "SELECT p.* FROM link l JOIN page p ON p.key = l.target WHERE l.property = ? AND l.source = ?"
        " AND p.in_trash = 0 ORDER BY l.position",
        (relation.number, page),
    ).fetchall()


def _parts(
    call: Call, row: sqlite3.Row, schema: Schema, prop: Property
) -> tuple[list[sqlite3.Row], Schema, Property] | None:
    """(related pages, their schema, the property that is rolled up), or None where one of them is gone."""
    relation = schema.by_number(prop.config["relation"])
    if relation is None:
        return None
    target = call.schema(relation.config["source"])
    rolled = target.by_number(prop.config["rolled"])
    return None if rolled is None else (related(call, row["key"], relation), target, rolled)


def _values(call: Call, row: sqlite3.Row, schema: Schema, prop: Property, depth: int) -> list[Any]:
    parts = _parts(call, row, schema, prop)
    if parts is None or depth >= DEPTH_LIMIT:
        return []
    pages, target, rolled = parts
    return [formula_input(call, page, target, rolled, loads(page["properties"]), depth + 1) for page in pages]


def _rollup_input(call: Call, row: sqlite3.Row, schema: Schema, prop: Property, depth: int) -> Any:
    values = _values(call, row, schema, prop, depth)
    function = prop.config["function"]
    if function in ("show_original", "show_unique"):
        return _flat(values)
    return aggregate(function, values)


def _flat(values: list[Any]) -> list[Any]:
    return [inner for value in values for inner in (value if isinstance(value, list) else [value])]


def _percent(part: int, whole: int) -> float | None:
    return tidy(part / whole) if whole else None


def _dates(values: list[Any]) -> list[FormulaDate]:
    return sorted(
        (value for value in _flat(values) if isinstance(value, FormulaDate)), key=lambda value: value.start
    )


def _filled(values: list[Any]) -> list[Any]:
    return [value for value in _flat(values) if value is not None and value != "" and value is not False]


_NUMERIC: dict[str, Callable[[list[float]], float | None]] = {
    "sum": lambda numbers: tidy(math.fsum(numbers)),
    "average": lambda numbers: tidy(statistics.fmean(numbers)) if numbers else None,
    "median": lambda numbers: tidy(statistics.median(numbers)) if numbers else None,
    "min": lambda numbers: min(numbers) if numbers else None,
    "max": lambda numbers: max(numbers) if numbers else None,
    "range": lambda numbers: tidy(max(numbers) - min(numbers)) if numbers else None,
}
DATE_FUNCTIONS = frozenset({"earliest_date", "latest_date", "date_range"})


def aggregate(function: str, values: list[Any]) -> Any:
    """What a rollup function makes of the related values."""
    if function in _NUMERIC:
        return _NUMERIC[function]([value for value in _flat(values) if is_number(value)])
    if function in DATE_FUNCTIONS:
        dates = _dates(values)
        if not dates:
            return None
        first, last = dates[0], dates[-1]
        if function == "date_range":
            return FormulaDate(first.start, first.timed, last.end or last.start)
        return first if function == "earliest_date" else last
    filled, whole = len([value for value in values if _filled([value])]), len(values)
    checked = sum(1 for value in values if value is True)
    counts: dict[str, float | None] = {
        "count": whole,
        "count_values": len(_filled(values)),
        "unique": len({show(value) for value in _filled(values)}),
        "not_empty": filled,
        "empty": whole - filled,
        "percent_not_empty": _percent(filled, whole),
        "percent_empty": _percent(whole - filled, whole),
        "checked": checked,
        "unchecked": whole - checked,
        "percent_checked": _percent(checked, whole),
        "percent_unchecked": _percent(whole - checked, whole),
        "count_per_group": whole,
        "percent_per_group": None,
    }
    return counts[function]


def _served_rollup(call: Call, row: sqlite3.Row, schema: Schema, prop: Property) -> dict[str, Any]:
    from daemon.local_board.page_view import property_value

    function = prop.config["function"]
    if function in ("show_original", "show_unique"):
        parts = _parts(call, row, schema, prop)
        items: list[dict[str, Any]] = []
        if parts is None:
            return {"type": "array", "array": [], "function": function}
        pages, target, rolled = parts
        for page in pages:
            shown = property_value(call, page, target, rolled, loads(page["properties"]))
            item = {"type": rolled.type, rolled.type: shown[rolled.type]}
            if function == "show_original" or item not in items:
                items.append(item)
        return {"type": "array", "array": items, "function": function}
    value = aggregate(function, _values(call, row, schema, prop, 0))
    if function in DATE_FUNCTIONS:
        return {"type": "date", "date": value.served() if value else None, "function": function}
    return {"type": "number", "number": value, "function": function}


def register(call: Call) -> None:
    """Makes calc(page, property, form) known to the call's connection.  Values are computed once for each
    query.
    """
    memo: dict[tuple[int, int], Any] = {}

    def calc(page: int, number: int, form: str) -> Any:
        if (page, number) not in memo:
            row = call.db.execute("SELECT * FROM page WHERE key = ?", (page,)).fetchone()
            schema = call.schema(row["source"])
            prop = schema.by_number(number)
            memo[page, number] = None if prop is None else _comparable(call, row, schema, prop)
        return as_form(memo[page, number], form)

    call.db.create_function("calc", 3, calc)


def _comparable(call: Call, row: sqlite3.Row, schema: Schema, prop: Property) -> Any:
    value = (
        _rollup_input(call, row, schema, prop, 0)
        if prop.type == "rollup"
        else formula_value(call, row, schema, prop, 0)
    )
    return show(value) if isinstance(value, (list, FormulaPage)) else value


def as_form(value: Any, form: str) -> Any:
    """A computed value in one of the forms that filters and sorts compare."""
    if form in ("a", "z"):
        if not isinstance(value, FormulaDate):
            return None
        moment = parse_moment(value.served()["start"])
        return None if moment is None else (moment.minute if form == "a" else int(moment.timed))
    if form == "n":
        return int(value) if isinstance(value, bool) else (value if is_number(value) else None)
    if form == "sort":
        if isinstance(value, FormulaDate):
            # One number in the order of dates in columns: the minute, a bare day before its midnight.
            return as_form(value, "a") * 2 + as_form(value, "z")
        if is_number(value) or isinstance(value, bool):
            return as_form(value, "n")
        return natural_key(value) if value else None
    text = value if isinstance(value, str) and value else None
    return text.lower() if text and form == "f" else text
