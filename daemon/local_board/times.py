"""Times as the service stores and shows them.

Everything but databases and views is shown cut to the minute ("…:00.000Z"), and so are datetimes stored in
date properties.  Inside, milliseconds since 1970 are kept.
"""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

MINUTE_MS = 60_000
DAY_MS = 86_400_000
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z")
_EPOCH = date(1970, 1, 1)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def minute(ms: int) -> str:
    """ "2026-06-27T17:01:00.000Z": pages, blocks, data sources, comments, uploads."""
    return _minute(ms // MINUTE_MS)


@lru_cache(maxsize=4096)
def _minute(number: int) -> str:
    return datetime.fromtimestamp(number * 60, UTC).strftime("%Y-%m-%dT%H:%M:00.000Z")


def precise(ms: int) -> str:
    """ "2026-07-04T09:10:18.464+00:00": databases and views."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}+00:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One parsed ISO 8601 date or datetime.

    minute: UTC minutes since 1970 (midnight for a bare date); day: UTC days since 1970; timed: has a time
    part.
    """

    minute: int
    day: int
    timed: bool


def parse_moment(text: str) -> Moment | None:
    """A date or datetime operand or value; None where the text is not ISO 8601.

    A datetime without an offset is UTC.  Seconds are dropped, as the service drops them.
    """
    if _DATE.match(text):
        try:
            day = (date.fromisoformat(text) - _EPOCH).days
        except ValueError:
            return None
        return Moment(minute=day * 1440, day=day, timed=False)
    moment = parse_datetime(text)
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    minutes = to_ms(moment) // MINUTE_MS
    return Moment(minute=minutes, day=minutes // 1440, timed=True)


def parse_datetime(text: str) -> datetime | None:
    """A datetime with a time part, or None.  Only the forms that begin with a full date are ISO 8601
    enough.
    """
    if not re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def stored_date(text: str, zone: str | None) -> str | None:
    """How a date value reads back: cut to the minute, a naive time given the offset of its zone, zone
    forgotten.

    None where the text is no date.  Recorded: "2026-06-27T17:57:32.42" with Europe/London reads back as
    "2026-06-27T17:57:00.000+01:00"; "…Z" with UTC as "…+00:00"; a bare date stays.
    """
    if _DATE.match(text):
        return text if parse_moment(text) else None
    moment = parse_datetime(text)
    if moment is None:
        return None
    if zone is not None:
        info = zoneinfo.ZoneInfo(zone)
        moment = moment.replace(tzinfo=info) if moment.tzinfo is None else moment.astimezone(info)
    elif moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    offset = moment.strftime("%z")
    return f"{moment:%Y-%m-%dT%H:%M}:00.000{offset[:3]}:{offset[3:5]}"


def known_zone(name: str) -> bool:
    """Whether the IANA zone is known to this machine."""
    return name in zoneinfo.available_timezones()


def day_of(ms: int) -> date:
    """The UTC calendar day of a time."""
    return _EPOCH + timedelta(days=ms // DAY_MS)


def day_number(day: date) -> int:
    """Days since 1970."""
    return (day - _EPOCH).days


def add_months(day: date, months: int) -> date:
    """The same day some months on, or the last day of that month where it has no such day."""
    years, index = divmod(day.year * 12 + day.month - 1 + months, 12)
    for candidate in (day.day, 30, 29, 28):
        if candidate <= day.day:
            try:
                return date(years, index + 1, candidate)
            except ValueError:
                continue
    raise ValueError(f"no such month: {years}-{index + 1}")
