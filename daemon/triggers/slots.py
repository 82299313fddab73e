"""Which slots of a schedule are due: pure, over time zones, sleep and daylight saving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from apscheduler.triggers.cron import CronTrigger

from daemon.core.errors import ConfigError

MOST = 10_000
"""Slots looked at in one go: a minutely schedule after a week's sleep; older ones are not told one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One slot: its time, and whether it is run (``late`` = caught up) or skipped because …"""

    slot: datetime
    run: bool
    late: bool
    reason: str


def trigger(cron: str, timezone: str) -> CronTrigger:
    """A five-field cron expression in a zone ("" = the machine's). ConfigError says what is wrong."""
    try:
        return CronTrigger.from_crontab(cron, timezone=timezone or None)
    except (ValueError, LookupError) as error:
        raise ConfigError(
            f"schedule “{cron}” {timezone}: {error}",
            hint="five fields, minute hour day month weekday, and an IANA zone such as Europe/Berlin",
        ) from error


def between(rule: CronTrigger, after: datetime, until: datetime) -> Iterator[datetime]:
    """Fire times in (after, until], in order, UTC, at most ``MOST``."""
    previous: datetime | None = after.astimezone(rule.timezone)
    for _ in range(MOST):
        # With a previous fire time the trigger gives the next one after it, whatever "now" is.
        found = rule.get_next_fire_time(previous, previous)
        if found is None or found > until:
            return
        previous = found
        if not _repeated(rule, found):
            yield found.astimezone(UTC)


def _repeated(rule: CronTrigger, found: datetime) -> bool:
    """The second 02:30 of the night the clock goes back, for a schedule that names its hour: not a new slot.
    A schedule of every hour has both (as cron does it)."""
    hour = next(str(f) for f in rule.fields if f.name == "hour")
    return found.fold == 1 and not hour.startswith("*")


def due(rule: CronTrigger, after: datetime, now: datetime, catch_up: float) -> list[Due]:
    """What to do about every slot in (after, now]. Only the newest one may run; a slot missed by more than
    ``catch_up`` seconds is skipped, and so is every slot that a newer one has overtaken."""
    found = list(between(rule, after, now))
    out = [Due(slot=s, run=False, late=False, reason="overtaken by a later slot") for s in found[:-1]]
    for slot in found[-1:]:
        missed = (now - slot).total_seconds()
        if missed <= max(catch_up, 60.0):
            late = missed > 60.0
            out.append(Due(slot=slot, run=True, late=late, reason=f"{missed:.0f} s late" if late else ""))
        else:
            reason = f"missed by {missed:.0f} s, more than catch_up"
            out.append(Due(slot=slot, run=False, late=False, reason=reason))
    return out


def upcoming(rule: CronTrigger, now: datetime, count: int = 1) -> list[datetime]:
    """The next ``count`` fire times after ``now``, UTC."""
    far = datetime.max.replace(tzinfo=UTC)
    return list(islice(between(rule, now, far), count))
