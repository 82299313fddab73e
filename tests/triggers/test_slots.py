"""Slots over sleep, zones and daylight saving."""

from datetime import UTC, datetime, timedelta

import pytest

from daemon.core.errors import ConfigError
from daemon.triggers.slots import between, due, trigger, upcoming

DAY = datetime(2026, 6, 1, tzinfo=UTC)


def test_every_slot_is_told_and_only_the_newest_runs() -> None:
    rule = trigger("0 * * * *", "UTC")
    found = due(rule, DAY, DAY + timedelta(hours=5, minutes=1), catch_up=3600)
    assert [d.run for d in found] == [False] * 4 + [True]
    assert {d.reason for d in found[:-1]} == {"overtaken by a later slot"}
    assert found[-1].late is False or found[-1].reason


def test_a_slot_missed_for_too_long_is_skipped() -> None:
    rule = trigger("0 3 * * *", "UTC")
    (only,) = due(rule, DAY, DAY + timedelta(hours=8), catch_up=3600)
    assert not only.run and "missed by" in only.reason
    (late,) = due(rule, DAY, DAY + timedelta(hours=3, minutes=50), catch_up=3600)
    assert late.run and late.late and late.reason == "3000 s late"


def test_a_slot_is_never_given_twice() -> None:
    rule = trigger("*/10 * * * *", "UTC")
    slots = list(between(rule, DAY, DAY + timedelta(hours=2)))
    assert len(slots) == len(set(slots)) == 12
    assert list(between(rule, slots[-1], DAY + timedelta(hours=2))) == []


def test_spring_forward_and_fall_back_run_once_a_day() -> None:
    rule = trigger("30 2 * * *", "Europe/Berlin")
    for month, first in ((3, 27), (10, 23)):
        after = datetime(2026, month, first, 12, tzinfo=UTC)
        slots = list(between(rule, after, after + timedelta(days=4)))
        days = [s.astimezone(rule.timezone).date() for s in slots]
        assert len(days) == len(set(days)), slots
        assert len(days) >= 3


def test_upcoming_is_in_order() -> None:
    found = upcoming(trigger("0 9 * * mon", "UTC"), DAY, 3)
    assert found == sorted(found) and all(f.weekday() == 0 for f in found)


@pytest.mark.parametrize(("cron", "zone"), [("x", ""), ("0 25 * * *", ""), ("* * * * *", "Mars/Olympus")])
def test_a_wrong_schedule_is_a_config_error(cron: str, zone: str) -> None:
    with pytest.raises(ConfigError) as caught:
        trigger(cron, zone)
    assert "five fields" in caught.value.hint
