"""Checked filters to SQL over a rows table, with the meaning that 133 recorded queries pin down.

Every condition gives 1 or 0 (or NULL for 0).  Negative operators match empty values, comparisons do not; date
operands are cut to the minute, and where either side has no time part calendar days (UTC) are compared.
"""

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from daemon.local_board import cells
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.filters import DATE_WORDS, KINDS, operator_of
from daemon.local_board.ids import parse_id
from daemon.local_board.schema import ACTOR_TYPES, COMPUTED_TYPES, TEXT_TYPES, TIME_TYPES, Property, Schema
from daemon.local_board.text_chunks import Test, test_of
from daemon.local_board.times import Moment, add_months, day_number, day_of, parse_moment

_COMPARE = {
    "equals": "=",
    "greater_than": ">",
    "less_than": "<",
    "greater_than_or_equal_to": ">=",
    "less_than_or_equal_to": "<=",
}
_MINUTES_PER_DAY = 1440


@dataclass(slots=True)
class Sql:
    """A piece of SQL with its parameters."""

    text: str
    params: list[Any] = field(default_factory=list)


TRUE = Sql("1")
FALSE = Sql("0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Where one property of one row is: `of("t")` is the SQL of that form."""

    of: Callable[[str], str]
    prop: Property | None


def cell_of(prop: Property, alias: str) -> Cell:
    """The cell of a property in a rows table known by an alias."""
    if prop.type in COMPUTED_TYPES:
        return Cell(of=lambda form: f"calc({alias}.page, {prop.number}, '{form}')", prop=prop)
    if prop.type in TIME_TYPES:
        return time_cell("created" if prop.type == "created_time" else "edited", alias)
    if prop.type in ACTOR_TYPES:
        name = "created_by" if prop.type == "created_by" else "edited_by"
        return Cell(of=lambda form: f"('|' || {alias}.{name} || '|')", prop=prop)
    return Cell(of=lambda form: f"{alias}.{cells.column(prop, form)}", prop=prop)


def time_cell(name: str, alias: str) -> Cell:
    """The created or edited time of a row, as minutes that always have a time part."""
    return Cell(of=lambda form: "1" if form == "z" else f"({alias}.{name} / 60000)", prop=None)


class Compiler:
    """Compiles the filter of one query against one schema."""

    def __init__(self, call: Call, schema: Schema, found: Mapping[Test, Sql] | None = None) -> None:
        self.call = call
        self.schema = schema
        self.today = day_of(call.now)
        self.uses_calc = False
        self.found = found or {}  # what stands for tests whose rows are known already
        self.tests: dict[Test, Property] = {}  # what is looked for in the texts and lists of every row
        self.reads_rows = False  # whether there is anything of that kind, which no index serves

    def filter(self, given: dict[str, Any] | None, alias: str = "r") -> Sql:
        """The condition of a whole filter."""
        if not given:
            return TRUE
        parts = []
        for name, glue, empty in (("and", " AND ", "1"), ("or", " OR ", "0")):
            if name in given:
                members = [self.filter(member, alias) for member in given[name]]
                # An empty `or` is served and lets everything through.
                text = glue.join(f"({member.text})" for member in members) if members else "1"
                parts.append(Sql(text or empty, [value for member in members for value in member.params]))
        if parts:
            return _joined(parts, " AND ")
        return self.leaf(given, alias)

    def leaf(self, given: dict[str, Any], alias: str) -> Sql:
        """One property or timestamp condition."""
        if "timestamp" in given:
            name = given["timestamp"]
            column = "created" if name == "created_time" else "edited"
            return self.date(time_cell(column, alias), given[name])
        prop = self.schema.find(given["property"])
        if prop is None:
            raise validation(f"Could not find property with name or id: {given['property']}")
        kind = next(name for name in KINDS if name in given)
        return self.condition(prop, kind, given[kind], alias)

    def condition(self, prop: Property, kind: str, condition: dict[str, Any], alias: str) -> Sql:
        """A condition of one kind on one property."""
        fits = prop.type == kind or (kind == "rich_text" and prop.type in TEXT_TYPES)
        if not fits:
            raise validation(
                "The property type in the database does not match the property type of the filter provided:"
                f" database property {prop.type} does not match filter {kind}"
            )
        if prop.type in COMPUTED_TYPES:
            self.uses_calc = True
        if kind == "rollup":
            return self.rollup(prop, condition, alias)
        test = self.test(prop, condition)
        if test is not None:
            if test in self.found:
                return self.found[test]
            self.tests[test] = prop
            self.reads_rows = True
        cell = cell_of(prop, alias)
        if kind == "formula":
            inner, operand = operator_of(condition)
            return self.value(inner, cell, operand)
        if kind == "verification":
            operator, state = operator_of(condition)
            has = {"verified": "IS 1", "none": "IS NOT 1", "expired": "IS 2"}[state]
            return Sql(f"({cell.of('n')} {has}) = {int(operator == 'status')}")
        return self.value(kind, cell, condition)

    def test(self, prop: Property, condition: dict[str, Any]) -> Test | None:
        """A condition that looks into a text or list of every row as text_chunks does; None for others."""
        operator, operand = operator_of(condition)
        if prop.type in TEXT_TYPES:
            return test_of(prop, operator, operand, lambda: [operand.lower()])
        if prop.type in ("multi_select", "people", "relation"):
            return test_of(prop, operator, operand, lambda: self.wanted(prop, operand))
        return None

    def value(self, kind: str, cell: Cell, condition: dict[str, Any]) -> Sql:
        """A condition on a value whose kind is settled."""
        if kind in TEXT_TYPES or kind == "string":
            return self.text(cell, condition)
        if kind in ("number", "unique_id"):
            return self.number(cell, condition)
        if kind == "checkbox":
            return self.checkbox(cell, condition)
        if kind in ("select", "status"):
            return self.option(cell, condition)
        if kind in ("date", "created_time", "last_edited_time"):
            return self.date(cell, condition)
        return self.members(kind, cell, condition)

    def text(self, cell: Cell, condition: dict[str, Any]) -> Sql:
        """Equality is exact, the rest ignores case; empty text is NULL in the table."""
        operator, operand = operator_of(condition)
        t = cell.of("t")
        # Lower case is stored only where SQLite's own lower(), which knows ASCII, would not do.
        f = f"coalesce({cell.of('f')}, lower({t}))"
        if operator == "is_empty" or (operator == "equals" and operand == ""):
            return Sql(f"{t} IS NULL")
        if operator == "is_not_empty" or (operator == "does_not_equal" and operand == ""):
            return Sql(f"{t} IS NOT NULL")
        if operator == "equals":
            # The first comparison is the one that the index on the text's beginning serves; the plus keeps
            # SQLite from putting the constant of the second one into it, which would lose the index.
            size = cells.INDEX_PREFIX
            return Sql(f"substr({t}, 1, {size}) = ? AND +{t} = ?", [operand[:size], operand])
        if operator == "does_not_equal":
            self.reads_rows = True
            return Sql(f"{t} IS NOT ?", [operand])
        folded = operand.lower()
        if folded == "":
            return FALSE if operator == "does_not_contain" else TRUE
        if operator == "contains":
            return Sql(f"instr({f}, ?) > 0", [folded])
        if operator == "does_not_contain":
            return Sql(f"coalesce(instr({f}, ?), 0) = 0", [folded])
        if operator == "starts_with":
            return Sql(f"substr({f}, 1, ?) = ?", [len(folded), folded])
        return Sql(f"substr({f}, -?) = ? AND length({f}) >= ?", [len(folded), folded, len(folded)])

    def number(self, cell: Cell, condition: dict[str, Any]) -> Sql:
        """Comparisons leave empty numbers out; does_not_equal lets them in."""
        operator, operand = operator_of(condition)
        n = cell.of("n")
        if operator in ("is_empty", "is_not_empty"):
            return Sql(f"{n} IS {'NOT ' if operator == 'is_not_empty' else ''}NULL")
        if operator == "does_not_equal":
            return Sql(f"{n} IS NOT ?", [operand])
        return Sql(f"{n} {_COMPARE[operator]} ?", [operand])

    def checkbox(self, cell: Cell, condition: dict[str, Any]) -> Sql:
        """A checkbox that was never set is false."""
        operator, operand = operator_of(condition)
        wanted = int(operand == (operator == "equals"))
        if cell.prop is not None and cell.prop.type == "checkbox":
            return Sql(f"{cell.of('n')} = {wanted}")
        return Sql(f"coalesce({cell.of('n')}, 0) = {wanted}")

    def option(self, cell: Cell, condition: dict[str, Any]) -> Sql:
        """By name or id, one or several; an option that does not exist matches nothing."""
        operator, operand = operator_of(condition)
        o = cell.of("o")
        if operator in ("is_empty", "is_not_empty"):
            return Sql(f"{o} IS {'NOT ' if operator == 'is_not_empty' else ''}NULL")
        names = operand if isinstance(operand, list) else [operand]
        options = cell.prop.options if cell.prop is not None else []
        ranks = [
            rank for rank, option in enumerate(options) if option["name"] in names or option["id"] in names
        ]
        listed = ", ".join(map(str, ranks))
        if operator == "equals":
            return Sql(f"{o} IN ({listed})") if ranks else FALSE
        return Sql(f"coalesce({o}, -1) NOT IN ({listed})") if ranks else TRUE

    def members(self, kind: str, cell: Cell, condition: dict[str, Any]) -> Sql:
        """multi_select, people, relation, files and the authors."""
        operator, operand = operator_of(condition)
        s = cell.of("s")
        if operator in ("is_empty", "is_not_empty"):
            return Sql(f"{s} IS {'NOT ' if operator == 'is_not_empty' else ''}NULL")
        wanted = self.wanted(cell.prop if kind == "multi_select" else None, operand)
        hits = " OR ".join([f"instr({s}, ?) > 0"] * len(wanted)) or "0"
        if operator == "contains":
            return Sql(f"({hits})", wanted)
        return Sql(f"coalesce(({hits}), 0) = 0", wanted)

    def wanted(self, prop: Property | None, operand: Any) -> list[str]:
        """What a list holds if it has one of the operands: "|id|" of each that there is."""
        given = operand if isinstance(operand, list) else [operand]
        if prop is not None and prop.type == "multi_select":
            ids = [item["id"] for item in prop.options if item["name"] in given or item["id"] in given]
        else:
            # "me" is nobody for an internal integration (recorded), so it finds no id here.
            ids = [identifier for identifier in map(parse_id, given) if identifier is not None]
        return [f"|{identifier}|" for identifier in ids]

    def date(self, cell: Cell, condition: dict[str, Any]) -> Sql:
        """Dates and times; see the module's docstring for what is compared."""
        operator, operand = operator_of(condition)
        a, z = cell.of("a"), cell.of("z")
        if operator in ("is_empty", "is_not_empty"):
            return Sql(f"{a} IS {'NOT ' if operator == 'is_not_empty' else ''}NULL")
        span = self.span(operator)
        if span is not None:
            first, last = span
            return Sql(f"{a} BETWEEN ? AND ?", [first * _MINUTES_PER_DAY, last * _MINUTES_PER_DAY + 1439])
        moment = self.moment(operand)
        start = moment.day * _MINUTES_PER_DAY
        days = {
            "equals": (f"{a} BETWEEN ? AND ?", [start, start + 1439]),
            "before": (f"{a} < ?", [start]),
            "on_or_before": (f"{a} <= ?", [start + 1439]),
            "after": (f"{a} > ?", [start + 1439]),
            "on_or_after": (f"{a} >= ?", [start]),
        }[operator]
        if not moment.timed:
            return Sql(days[0], list(days[1]))
        sign = {"equals": "=", "before": "<", "on_or_before": "<=", "after": ">", "on_or_after": ">="}[
            operator
        ]
        exact = f"{a} {sign} ?"
        if z == "1":
            return Sql(exact, [moment.minute])
        return Sql(f"CASE WHEN {z} THEN {exact} ELSE {days[0]} END", [moment.minute, *days[1]])

    def moment(self, operand: str) -> Moment:
        """A date operand: ISO 8601, or one of the relative words."""
        if operand in DATE_WORDS:
            day = {
                "today": self.today,
                "tomorrow": self.today + timedelta(1),
                "yesterday": self.today - timedelta(1),
                "one_week_ago": self.today - timedelta(7),
                "one_week_from_now": self.today + timedelta(7),
                "one_month_ago": add_months(self.today, -1),
                "one_month_from_now": add_months(self.today, 1),
            }[operand]
            return Moment(minute=day_number(day) * _MINUTES_PER_DAY, day=day_number(day), timed=False)
        moment = parse_moment(operand)
        if moment is None:
            raise validation(f"body failed validation: `{operand}` is no ISO 8601 date string.")
        return moment

    def span(self, operator: str) -> tuple[int, int] | None:
        """First and last day of this_week, past_… and next_…; today is inside all of them (recorded)."""
        today = self.today
        if operator == "this_week":
            # Sunday to Saturday; whether the service starts on Sunday or Monday no recording decides.
            first = today - timedelta((today.weekday() + 1) % 7)
            return day_number(first), day_number(first) + 6
        past = {
            "past_week": today - timedelta(7),
            "past_month": add_months(today, -1),
            "past_year": add_months(today, -12),
        }
        if operator in past:
            return day_number(past[operator]), day_number(today)
        ahead = {
            "next_week": today + timedelta(7),
            "next_month": add_months(today, 1),
            "next_year": add_months(today, 12),
        }
        if operator in ahead:
            return day_number(today), day_number(ahead[operator])
        return None

    def rollup(self, prop: Property, condition: dict[str, Any], alias: str) -> Sql:
        """any, every and none look at the related rows; number and date at the rolled-up value.

        `every` over nothing is false, `none` over nothing true (recorded).
        """
        mode, inner = operator_of(condition)
        if mode in ("number", "date"):
            return self.value(mode, cell_of(prop, alias), inner)
        relation = self.schema.by_number(prop.config["relation"])
        target = self.call.schema(relation.config["source"]) if relation is not None else None
        rolled = target.by_number(prop.config["rolled"]) if target is not None else None
        if relation is None or target is None or rolled is None:
            return TRUE if mode == "none" else FALSE
        within = Compiler(self.call, target)
        kind, operand = operator_of(inner)
        matched = within.condition(rolled, kind, operand, f"{alias}x")
        self.uses_calc = self.uses_calc or within.uses_calc
        rows = (
            f"SELECT 1 FROM link l JOIN {target.table} {alias}x ON {alias}x.page = l.target"
            f" WHERE l.property = {relation.number} AND l.source = {alias}.page AND {alias}x.trash = 0"
        )
        hit = Sql(f"EXISTS ({rows} AND ({matched.text}))", matched.params)
        if mode == "any":
            return hit
        if mode == "none":
            return Sql(f"NOT {hit.text}", hit.params)
        miss = f"NOT EXISTS ({rows} AND NOT coalesce(({matched.text}), 0))"
        return Sql(f"EXISTS ({rows}) AND {miss}", list(matched.params))


def _joined(parts: list[Sql], glue: str) -> Sql:
    return Sql(
        glue.join(f"({part.text})" for part in parts), [value for part in parts for value in part.params]
    )
