"""Values inside formulas, and the small conversions between them.

Text is str, numbers int or float, checkboxes bool, lists list, nothing None; dates and pages have classes
of their own.  The product's `empty` holds for None, "", 0, False and [].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class FormulaDate:
    """A date or a range.  timed: whether the time of day means something."""

    start: datetime
    timed: bool
    end: datetime | None = None

    def served(self) -> dict[str, Any]:
        """As a date object of the API."""
        return {
            "start": self._text(self.start),
            "end": self._text(self.end) if self.end else None,
            "time_zone": None,
        }

    def _text(self, moment: datetime) -> str:
        if not self.timed:
            return moment.strftime("%Y-%m-%d")
        offset = moment.strftime("%z")
        return f"{moment:%Y-%m-%dT%H:%M}:00.000{offset[:3]}:{offset[3:5]}"


@dataclass(frozen=True, slots=True)
class FormulaPage:
    """A related page: its key in the file, its id and title."""

    key: int
    id: str
    title: str


def read_date(value: dict[str, Any] | None) -> FormulaDate | None:
    """A stored date value as a formula sees it."""
    if not value:
        return None
    start, timed = _moment(value["start"])
    end = _moment(value["end"])[0] if value.get("end") else None
    return FormulaDate(start, timed, end)


def _moment(text: str) -> tuple[datetime, bool]:
    if len(text) == 10:
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day, tzinfo=UTC), False
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)), True


def is_empty(value: Any) -> bool:
    """The product's idea of empty."""
    return value is None or value == "" or value is False or value == [] or (is_number(value) and value == 0)


def is_number(value: Any) -> bool:
    """A number, not a checkbox."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def show(value: Any) -> str:
    """A value as text: format(), text concatenation, and formulas whose result is a list."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return show_number(value)
    if isinstance(value, list):
        return ",".join(show(item) for item in value)
    if isinstance(value, FormulaDate):
        first = f"{value.start:%B} {value.start.day}, {value.start.year}"
        return first + (f" {value.start:%H:%M}" if value.timed else "")
    if isinstance(value, FormulaPage):
        return value.title
    return str(value)


def show_number(value: float) -> str:
    """A number as JavaScript writes it, near enough."""
    if isinstance(value, float) and (math.isnan(value) or math.isinf(value)):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e21 else repr(float(value))


def truth(value: Any) -> bool:
    """A value as a condition."""
    return not is_empty(value)


def number(value: Any) -> float:
    """A value as a number; what is none counts as 0."""
    if isinstance(value, bool):
        return int(value)
    if is_number(value):
        kept: float = value
        return kept
    return 0


def tidy(value: float) -> float:
    """Whole floats become ints, so that 2.0 is served as 2."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value
