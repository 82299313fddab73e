"""The filter grammar: its shape, checked before the schema is known.

Two levels: a compound may hold compounds whose members are leaves.  A leaf is {property, <kind>:
{<operator>: value}} or {timestamp, <same>: {…}}.  `compile.py` turns a checked filter into SQL.
"""

from __future__ import annotations

from typing import Any

from daemon.local_board import shapes
from daemon.local_board.times import parse_moment

TEXT_OPERATORS = ("equals", "does_not_equal", "contains", "does_not_contain", "starts_with", "ends_with")
NUMBER_OPERATORS = (
    "equals",
    "does_not_equal",
    "greater_than",
    "less_than",
    "greater_than_or_equal_to",
    "less_than_or_equal_to",
)
DATE_OPERATORS = ("equals", "before", "after", "on_or_before", "on_or_after")
DATE_SPANS = ("this_week", "past_week", "past_month", "past_year", "next_week", "next_month", "next_year")
DATE_WORDS = (
    "today",
    "tomorrow",
    "yesterday",
    "one_week_ago",
    "one_week_from_now",
    "one_month_ago",
    "one_month_from_now",
)
_EMPTINESS: dict[str, shapes.Check] = {"is_empty": shapes.enum(True), "is_not_empty": shapes.enum(True)}
_empty_object = shapes.obj({})


def _date_operand(value: Any, path: shapes.Path) -> list[shapes.Problem]:
    if not isinstance(value, str):
        return shapes.wrong(path, value, "a string")
    fits = value in DATE_WORDS or parse_moment(value) is not None
    return [] if fits else shapes.wrong(path, value, "a valid ISO 8601 date string")


_one_or_many = shapes.any_of(shapes.string(), shapes.array(shapes.string()))
"""A name, or an array of names (since 2026-04-17)."""


def _person(value: Any, path: shapes.Path) -> list[shapes.Problem]:
    return [] if value == "me" else shapes.uuid(value, path)


def _condition(operators: dict[str, shapes.Check]) -> shapes.Check:
    return shapes.union(operators, extra=())


_text = _condition({**{name: shapes.string() for name in TEXT_OPERATORS}, **_EMPTINESS})
_number = _condition({**dict.fromkeys(NUMBER_OPERATORS, shapes.number), **_EMPTINESS})
_checkbox = _condition({"equals": shapes.boolean, "does_not_equal": shapes.boolean})
_option = _condition({"equals": _one_or_many, "does_not_equal": _one_or_many, **_EMPTINESS})
_options = _condition({"contains": _one_or_many, "does_not_contain": _one_or_many, **_EMPTINESS})
_people = _condition({"contains": _person, "does_not_contain": _person, **_EMPTINESS})
_relation = _condition({"contains": shapes.uuid, "does_not_contain": shapes.uuid, **_EMPTINESS})
_date = _condition(
    {
        **dict.fromkeys(DATE_OPERATORS, _date_operand),
        **_EMPTINESS,
        **dict.fromkeys(DATE_SPANS, _empty_object),
    }
)
_PLAIN: dict[str, shapes.Check] = {
    "title": _text,
    "rich_text": _text,
    "number": _number,
    "checkbox": _checkbox,
    "select": _option,
    "multi_select": _options,
    "status": _option,
    "date": _date,
    "people": _people,
    "files": _condition(dict(_EMPTINESS)),
    "url": _text,
    "email": _text,
    "phone_number": _text,
    "relation": _relation,
    "created_by": _people,
    "created_time": _date,
    "last_edited_by": _people,
    "last_edited_time": _date,
}
_formula = shapes.union({"string": _text, "checkbox": _checkbox, "number": _number, "date": _date}, extra=())
_member = shapes.union({**_PLAIN, "formula": _formula, "unique_id": _number}, extra=())
_rollup = shapes.union(
    {"any": _member, "none": _member, "every": _member, "date": _date, "number": _number}, extra=()
)
KINDS: dict[str, shapes.Check] = {
    **_PLAIN,
    "formula": _formula,
    "unique_id": _number,
    "rollup": _rollup,
    "verification": _condition(
        dict.fromkeys(("status", "does_not_equal"), shapes.enum("verified", "expired", "none"))
    ),
}
"""Every leaf kind with the check of its condition, in the order in which a refusal lists them."""

COMPOUND_LIMIT = 100
"""Members of one compound (the limit of every array in a request)."""


_TIMESTAMPS = ("created_time", "last_edited_time")
_beside = {"type": shapes.anything}
_LEAVES = (
    *(
        shapes.obj({kind: condition, "property": shapes.string(), **_beside}, (kind, "property"))
        for kind, condition in KINDS.items()
    ),
    *(
        shapes.obj({name: _date, "timestamp": shapes.enum(*_TIMESTAMPS), **_beside}, (name, "timestamp"))
        for name in _TIMESTAMPS
    ),
)


def _compounds(member: shapes.Check) -> tuple[shapes.Check, ...]:
    """`or` and `and`.  What else stands beside them is not looked at (measured)."""
    arrays = {name: shapes.array(member, COMPOUND_LIMIT) for name in ("or", "and")}

    def both(value: Any, path: shapes.Path) -> list[shapes.Problem]:
        """With both given, `and` is validated first (measured)."""
        for name in ("and", "or"):
            if problems := arrays[name](value[name], (*path, name)):
                return problems
        return []

    def one(name: str) -> shapes.Check:
        alone = shapes.obj({name: arrays[name]}, (name,), open_ended=True)

        def check(value: Any, path: shapes.Path) -> list[shapes.Problem]:
            paired = isinstance(value, dict) and "and" in value and "or" in value
            return both(value, path) if paired else alone(value, path)

        return check

    return one("or"), one("and")


_innermost = shapes.any_of(*_LEAVES)
_inner = shapes.any_of(*_LEAVES, *_compounds(_innermost))
check_filter = shapes.any_of(*_compounds(_inner), *_LEAVES)
"""Checks a whole filter: compounds are listed first at the top and last inside, and not at all on the third
level (measured).
"""

_direction = shapes.enum("ascending", "descending")
_sort = shapes.any_of(
    shapes.obj(
        {"property": shapes.string(), "direction": _direction}, ("property", "direction"), open_ended=True
    ),
    shapes.obj(
        {"timestamp": shapes.enum(*_TIMESTAMPS), "direction": _direction},
        ("timestamp", "direction"),
        open_ended=True,
    ),
)
check_sorts = shapes.array(_sort)
"""Checks the array of sorts."""


def operator_of(condition: dict[str, Any]) -> tuple[str, Any]:
    """The one operator of a checked condition, with its operand."""
    return next(iter(condition.items()))
