"""``handoffd schedule``: what the clock makes."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from daemon.cli.frame import Group, Invocation, json_option
from daemon.cli.output import emit_json, emit_table, minute

SHOWN = 5
"""Next and past slots that are listed of each schedule."""


@click.group(cls=Group)
def command() -> None:
    """Schedules with their next and past slots."""


@command.command("list")
@json_option
@click.pass_obj
def list_(call: Invocation, as_json: bool) -> None:
    """Every schedule of the settings: when next, and what became of the last slots."""
    import time
    from datetime import UTC, datetime

    from daemon.cli import shapes
    from daemon.triggers.schedules import ARMED
    from daemon.triggers.slots import trigger, upcoming
    from daemon.wiring import open_store

    loaded = call.load()
    now = datetime.fromtimestamp(time.time(), UTC)
    rows: list[dict[str, Any]] = []
    with closing(open_store(loaded)) as store:
        for name, schedule in loaded.settings.schedules.items():
            rule = trigger(schedule.cron, schedule.timezone)
            past = [o for o in store.occurrences(name, limit=SHOWN + 1) if o.state != ARMED][:SHOWN]
            rows.append(
                {
                    "name": name,
                    "cron": schedule.cron,
                    "timezone": str(rule.timezone),
                    "title": schedule.task.title,
                    "next": [t.timestamp() for t in upcoming(rule, now, SHOWN)],
                    "past": [shapes.occurrence(o) for o in past],
                }
            )
    if as_json:
        emit_json(rows)
        return
    table = [
        (r["name"], r["cron"], r["timezone"], _first(r["next"]), _last(r["past"]), r["title"]) for r in rows
    ]
    emit_table(
        ("NAME", "CRON", "ZONE", "NEXT", "LAST", "TASK"), table, empty="no [schedules] in the settings"
    )


def _first(moments: list[float]) -> str:
    return minute(moments[0]) if moments else "never"


def _last(past: list[dict[str, Any]]) -> str:
    if not past:
        return "–"
    return f"{minute(past[0]['slot'])} {past[0]['state']} {past[0]['reason']}".strip()
