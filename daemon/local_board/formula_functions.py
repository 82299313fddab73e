"""The functions of the formula language that get their arguments evaluated.

Those that look at an argument several times or not at all (if, map, let …) are in formula_eval.py.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from daemon.local_board.formula_values import (
    FormulaDate,
    FormulaPage,
    is_empty,
    is_number,
    number,
    show,
    tidy,
)
from daemon.local_board.times import add_months

Function = Callable[..., Any]


def _numbers(arguments: tuple[Any, ...]) -> list[float]:
    out: list[float] = []
    for argument in arguments:
        items = argument if isinstance(argument, list) else [argument]
        out.extend(number(item) for item in items if is_number(item) or isinstance(item, bool))
    return out


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _shift(moment: datetime, amount: float, unit: str, sign: int) -> datetime:
    count = int(amount) * sign
    name = unit.rstrip("s") if unit != "s" else unit
    if name in ("year", "quarter", "month"):
        months = count * {"year": 12, "quarter": 3, "month": 1}[name]
        day = add_months(moment.date(), months)
        return moment.replace(year=day.year, month=day.month, day=day.day)
    if name not in ("week", "day", "hour", "minute"):
        raise ValueError(f"unknown unit {unit!r}")
    return moment + timedelta(**{f"{name}s": count})


def _date_add(value: Any, amount: Any, unit: Any, sign: int = 1) -> Any:
    if not isinstance(value, FormulaDate):
        return None
    moved = _shift(value.start, number(amount), str(unit), sign)
    timed = value.timed or str(unit).startswith(("hour", "minute"))
    end = _shift(value.end, number(amount), str(unit), sign) if value.end else None
    return FormulaDate(moved, timed, end)


def _date_between(first: Any, second: Any, unit: Any) -> Any:
    """Whole units from the second date to the first, towards zero."""
    if not isinstance(first, FormulaDate) or not isinstance(second, FormulaDate):
        return None
    a, b = first.start, second.start
    name = str(unit).rstrip("s")
    if name in ("year", "quarter", "month"):
        sign = 1 if a >= b else -1
        low, high = (b, a) if sign > 0 else (a, b)
        months = (high.year - low.year) * 12 + high.month - low.month
        if (high.day, high.time()) < (low.day, low.time()):
            months -= 1
        return sign * (months // {"year": 12, "quarter": 3, "month": 1}[name])
    seconds = {"week": 604800, "day": 86400, "hour": 3600, "minute": 60}.get(name)
    if seconds is None:
        raise ValueError(f"unknown unit {unit!r}")
    return int((a - b).total_seconds() / seconds)


_FORMAT = re.compile(r"\[[^\]]*\]|Y{4}|YY|M{1,4}|D{1,2}|d{3,4}|H{1,2}|h{1,2}|m{1,2}|A|a")


def _format_date(value: Any, pattern: Any = "MMMM D, YYYY") -> Any:
    if not isinstance(value, FormulaDate):
        return ""
    at = value.start
    hour = at.hour % 12 or 12
    forms = {
        "YYYY": f"{at:%Y}", "YY": f"{at:%y}", "MMMM": f"{at:%B}", "MMM": f"{at:%b}", "MM": f"{at:%m}",
        "M": str(at.month),
        "DD": f"{at:%d}", "D": str(at.day), "dddd": f"{at:%A}", "ddd": f"{at:%a}", "HH": f"{at:%H}",
        "H": str(at.hour),
        "hh": f"{hour:02d}", "h": str(hour), "mm": f"{at:%M}", "m": str(at.minute), "A": f"{at:%p}",
        "a": f"{at:%p}".lower(),
    }  # fmt: skip
    return _FORMAT.sub(lambda m: forms.get(m.group(0), m.group(0).strip("[]")), str(pattern))


def _parse_date(text: Any) -> Any:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return FormulaDate(moment if moment.tzinfo else moment.replace(tzinfo=UTC), len(str(text)) > 10)


def _part(read: Callable[[datetime], int]) -> Function:
    return lambda value: read(value.start) if isinstance(value, FormulaDate) else None


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (list, str)) else len(show(value))


def _round(value: Any, places: Any = 0) -> float:
    scale = 10 ** int(number(places))
    return tidy(math.floor(number(value) * scale + 0.5) / scale)


def _contains(where: Any, what: Any) -> bool:
    if isinstance(where, list):
        return what in where
    return show(what).lower() in show(where).lower()


def _at(items: Any, index: Any) -> Any:
    listed, place = _as_list(items), int(number(index))
    return listed[place] if -len(listed) <= place < len(listed) else None


def _unique(items: Any) -> list[Any]:
    out: list[Any] = []
    for item in _as_list(items):
        if item not in out:
            out.append(item)
    return out


def _flat(items: Any) -> list[Any]:
    return [inner for item in _as_list(items) for inner in _as_list(item)]


def _substring(text: Any, start: Any, end: Any = None) -> str:
    last = len(show(text)) if end is None else max(int(number(end)), 0)
    return show(text)[max(int(number(start)), 0) : last]


def _to_number(value: Any) -> Any:
    if isinstance(value, FormulaDate):
        return int(value.start.timestamp() * 1000)
    if isinstance(value, bool) or is_number(value):
        return tidy(number(value))
    match = re.match(r"\s*[-+]?\d+(?:\.\d+)?", show(value))
    return tidy(float(match.group(0))) if match else None


def _divide(a: Any, b: Any) -> Any:
    return tidy(number(a) / number(b)) if number(b) else None


def _mod(a: Any, b: Any) -> Any:
    return tidy(math.fmod(number(a), number(b))) if number(b) else None


def _math(function: Callable[[float], float]) -> Function:
    return lambda value: tidy(function(number(value)))


FUNCTIONS: dict[str, Function] = {
    "length": _length,
    "substring": _substring,
    "contains": _contains,
    "includes": _contains,
    "test": lambda text, pattern: re.search(show(pattern), show(text)) is not None,
    "match": lambda text, pattern: [found.group(0) for found in re.finditer(show(pattern), show(text))],
    "replace": lambda text, pattern, new: re.sub(
        show(pattern), show(new).replace("$", "\\"), show(text), count=1
    ),
    "replaceAll": lambda text, pattern, new: re.sub(show(pattern), show(new).replace("$", "\\"), show(text)),
    "lower": lambda text: show(text).lower(),
    "upper": lambda text: show(text).upper(),
    "trim": lambda text: show(text).strip(),
    "repeat": lambda text, times: show(text) * max(int(number(times)), 0),
    "padStart": lambda text, size, fill=" ": show(text).rjust(int(number(size)), show(fill)[:1] or " "),
    "padEnd": lambda text, size, fill=" ": show(text).ljust(int(number(size)), show(fill)[:1] or " "),
    "link": lambda label, url: show(label),
    "style": lambda text, *styles: show(text),
    "unstyle": lambda text, *styles: show(text),
    "format": show,
    "toNumber": _to_number,
    "add": lambda a, b: tidy(number(a) + number(b)) if is_number(a) and is_number(b) else show(a) + show(b),
    "subtract": lambda a, b: tidy(number(a) - number(b)),
    "multiply": lambda a, b: tidy(number(a) * number(b)),
    "divide": _divide,
    "mod": _mod,
    "pow": lambda a, b: tidy(number(a) ** number(b)),
    "equal": lambda a, b: a == b,
    "unequal": lambda a, b: a != b,
    "min": lambda *values: tidy(min(_numbers(values))) if _numbers(values) else None,
    "max": lambda *values: tidy(max(_numbers(values))) if _numbers(values) else None,
    "sum": lambda *values: tidy(math.fsum(_numbers(values))),
    "mean": lambda *values: tidy(statistics.fmean(_numbers(values))) if _numbers(values) else None,
    "median": lambda *values: tidy(statistics.median(_numbers(values))) if _numbers(values) else None,
    "abs": _math(abs),
    "ceil": _math(math.ceil),
    "floor": _math(math.floor),
    "round": _round,
    "sqrt": lambda value: tidy(math.sqrt(number(value))) if number(value) >= 0 else None,
    "cbrt": lambda value: tidy(round(math.copysign(abs(number(value)) ** (1 / 3), number(value)), 12)),
    "exp": _math(math.exp),
    "ln": lambda value: tidy(math.log(number(value))) if number(value) > 0 else None,
    "log10": lambda value: tidy(math.log10(number(value))) if number(value) > 0 else None,
    "log2": lambda value: tidy(math.log2(number(value))) if number(value) > 0 else None,
    "sign": lambda value: (number(value) > 0) - (number(value) < 0),
    "pi": lambda: math.pi,
    "e": lambda: math.e,
    "empty": is_empty,
    "minute": _part(lambda at: at.minute),
    "hour": _part(lambda at: at.hour),
    "day": _part(lambda at: at.isoweekday()),
    "date": _part(lambda at: at.day),
    "week": _part(lambda at: at.isocalendar().week),
    "month": _part(lambda at: at.month),
    "year": _part(lambda at: at.year),
    "dateAdd": _date_add,
    "dateSubtract": lambda value, amount, unit: _date_add(value, amount, unit, -1),
    "dateBetween": _date_between,
    "dateRange": lambda a, b: FormulaDate(a.start, a.timed or b.timed, b.start) if a and b else None,
    "dateStart": lambda value: (
        FormulaDate(value.start, value.timed) if isinstance(value, FormulaDate) else None
    ),
    "dateEnd": lambda v: FormulaDate(v.end or v.start, v.timed) if isinstance(v, FormulaDate) else None,
    "timestamp": lambda value: (
        int(value.start.timestamp() * 1000) if isinstance(value, FormulaDate) else None
    ),
    "fromTimestamp": lambda value: FormulaDate(datetime.fromtimestamp(number(value) / 1000, UTC), True),
    "formatDate": _format_date,
    "parseDate": _parse_date,
    "id": lambda page: page.id.replace("-", "") if isinstance(page, FormulaPage) else "",
    "name": show,
    "at": _at,
    "first": lambda items: _at(items, 0),
    "last": lambda items: _at(items, -1),
    "slice": lambda items, start, end=None: _as_list(items)[int(start) : None if end is None else int(end)],
    "concat": lambda *lists: [item for items in lists for item in _as_list(items)],
    "reverse": lambda items: list(reversed(_as_list(items))),
    "join": lambda items, glue: show(glue).join(show(item) for item in _as_list(items)),
    "split": lambda text, glue: show(text).split(show(glue)) if show(glue) else list(show(text)),
    "unique": _unique,
    "flat": _flat,
}
"""Name to function.  A call with values of types that a function cannot take gives an empty result."""
