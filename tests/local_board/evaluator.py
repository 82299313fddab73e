"""A second, simple evaluator of the filter and sort grammar, over plain Python values in memory.

Written from the described semantics, not from the board's SQL: texts, numbers, options, dates as they are,
one row a dict of property to value (None or missing is empty).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

TEXTS = ("title", "rich_text", "url", "email", "phone_number")
DATES = ("date", "created_time", "last_edited_time")


DAY = re.compile(r"\d{4}-\d\d-\d\d")
"""What tells a computed date from a computed text; no text of the tests looks like one."""


def instant(value: str) -> date | datetime:
    """A date operand or value: a day, or a moment cut to the minute in UTC."""
    if len(value) == 10:
        return date.fromisoformat(value)
    moment = datetime.fromisoformat(value)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(second=0, microsecond=0)


def as_day(value: date | datetime) -> date:
    """The UTC day."""
    return value.date() if isinstance(value, datetime) else value


def compare(a: date | datetime, b: date | datetime) -> int:
    """-1, 0 or 1; days are compared where either side has no time part."""
    if not (isinstance(a, datetime) and isinstance(b, datetime)):
        a, b = as_day(a), as_day(b)
    return (a > b) - (a < b)  # type: ignore[operator]  # both are of one class here


def months_from(day: date, count: int) -> date:
    """The same day of another month, or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    for number in range(day.day, 27, -1):
        try:
            return date(year, month + 1, number)
        except ValueError:
            continue
    return date(year, month + 1, day.day)


def date_matches(value: str | None, operator: str, operand: Any, today: date) -> bool:
    """One date condition."""
    if operator in ("is_empty", "is_not_empty"):
        return (value is None) == (operator == "is_empty")
    if value is None:
        return False
    have = instant(value)
    week = timedelta(7)
    sunday = today - timedelta((today.weekday() + 1) % 7)
    spans = {
        "this_week": (sunday, sunday + timedelta(6)),
        "past_week": (today - week, today),
        "past_month": (months_from(today, -1), today),
        "past_year": (months_from(today, -12), today),
        "next_week": (today, today + week),
        "next_month": (today, months_from(today, 1)),
        "next_year": (today, months_from(today, 12)),
    }
    if operator in spans:
        return spans[operator][0] <= as_day(have) <= spans[operator][1]
    words = {
        "today": today,
        "tomorrow": today + timedelta(1),
        "yesterday": today - timedelta(1),
        "one_week_ago": today - week,
        "one_week_from_now": today + week,
        "one_month_ago": months_from(today, -1),
        "one_month_from_now": months_from(today, 1),
    }
    sign = compare(have, words[operand] if operand in words else instant(operand))
    return {
        "equals": sign == 0,
        "before": sign < 0,
        "after": sign > 0,
        "on_or_before": sign <= 0,
        "on_or_after": sign >= 0,
    }[operator]


def text_matches(value: str | None, operator: str, operand: Any) -> bool:
    """One text condition: equality is exact, the rest ignores case."""
    have = value or ""
    if operator == "is_empty":
        return have == ""
    if operator == "is_not_empty":
        return have != ""
    if operator in ("equals", "does_not_equal"):
        return (have == operand) == (operator == "equals")
    low, part = have.lower(), operand.lower()
    return {
        "contains": part in low,
        "does_not_contain": part not in low,
        "starts_with": low.startswith(part),
        "ends_with": low.endswith(part),
    }[operator]


def number_matches(value: float | None, operator: str, operand: Any) -> bool:
    """One number condition."""
    if operator in ("is_empty", "is_not_empty"):
        return (value is None) == (operator == "is_empty")
    if operator == "does_not_equal":
        return value != operand
    if value is None:
        return False
    return {
        "equals": value == operand,
        "greater_than": value > operand,
        "less_than": value < operand,
        "greater_than_or_equal_to": value >= operand,
        "less_than_or_equal_to": value <= operand,
    }[operator]


def leaf_matches(kind: str, value: Any, condition: dict[str, Any], today: date) -> bool:
    """One condition of any kind."""
    ((operator, operand),) = condition.items()
    if kind == "formula" or (kind == "rollup" and operator in ("number", "date")):
        return leaf_matches(operator, value, operand, today)
    if kind == "rollup":
        ((inner, deeper),) = operand.items()
        hits = [leaf_matches(inner, one, deeper, today) for one in value]
        # "every" over nothing is false, "none" over nothing true (recorded).
        return {"any": any(hits), "every": bool(hits) and all(hits), "none": not any(hits)}[operator]
    if kind in TEXTS or kind == "string":
        return text_matches(value, operator, operand)
    if kind in ("number", "unique_id"):
        return number_matches(value, operator, operand)
    if kind == "checkbox":
        return bool(value) == (operand == (operator == "equals"))
    if kind in DATES:
        return date_matches(value, operator, operand, today)
    if kind == "verification":
        return ((value or "none") == operand) == (operator == "status")
    if operator in ("is_empty", "is_not_empty"):
        return (not value) == (operator == "is_empty")
    wanted = operand if isinstance(operand, list) else [operand]
    have = value if isinstance(value, list) else [value]
    hit = any(item in wanted for item in have)
    return hit == (operator in ("equals", "contains"))


def matches(row: dict[str, Any], given: dict[str, Any] | None, today: date) -> bool:
    """A whole filter on a row."""
    if not given:
        return True
    if "and" in given:
        return all(matches(row, member, today) for member in given["and"])
    if "or" in given:
        # An empty "or" lets everything through.
        return not given["or"] or any(matches(row, member, today) for member in given["or"])
    kind = next(name for name in given if name not in ("property", "timestamp"))
    return leaf_matches(kind, row.get(given.get("property", kind)), given[kind], today)


def natural(value: str) -> list[tuple[int, Any]]:
    """Texts with numbers in them compare by the numbers; numbers come before words."""
    return [
        (0, int(part)) if part.isdigit() else (1, part.lower())
        for part in re.findall(r"[0-9]+|[^0-9]+", value)
    ]


def sort_key(kind: str, value: Any, options: list[str]) -> Any:
    """What a value is sorted by; None for an empty one."""
    if kind == "checkbox":
        return int(bool(value))
    if value in (None, "", []):
        return None
    if isinstance(value, bool):
        return int(value)
    if kind in TEXTS or (kind == "formula" and isinstance(value, str) and not DAY.match(value)):
        return natural(value)
    if kind in ("select", "status"):
        return options.index(value)
    if kind in DATES or isinstance(value, str):
        moment = instant(value)
        timed = isinstance(moment, datetime)
        return (moment if timed else datetime(moment.year, moment.month, moment.day, tzinfo=UTC), timed)
    return value


def order(
    rows: list[dict[str, Any]], sorts: list[dict[str, Any]], kinds: dict[str, str], options: list[str]
) -> list[dict[str, Any]]:
    """Rows (oldest first) in the order of the sorts; empty values last, ties newest first."""
    out = list(reversed(rows))
    for item in reversed(sorts):
        name = item["property"]
        keyed = [(sort_key(kinds[name], row.get(name), options), row) for row in out]
        filled = [pair for pair in keyed if pair[0] is not None]
        filled.sort(key=lambda pair: pair[0], reverse=item["direction"] == "descending")
        if item["direction"] == "descending":
            # Python's reverse keeps the order of equal elements, which is what is wanted here.
            pass
        out = [row for _, row in filled] + [row for key, row in keyed if key is None]
    return out
