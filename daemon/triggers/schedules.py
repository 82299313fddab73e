"""Schedules from the settings: each slot becomes one task, or is skipped with a reason, on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from daemon.core.errors import HandoffdError
from daemon.core.ports import Board
from daemon.core.status import OURS, Status
from daemon.core.task import Draft, Priority
from daemon.sdk import Log
from daemon.settings.model import ScheduleSettings
from daemon.store import Store
from daemon.triggers.slots import Due, due, trigger, upcoming

TOLD_ONE_BY_ONE = 50
"""More slots than this that were missed in one go are told in one line."""

ARMED = "armed"
"""State of the entry that says since when a schedule is known: slots before it are not ours to catch up."""


class Schedules:
    """Looks at every schedule when asked. ``clock``: epoch seconds."""

    def __init__(
        self,
        *,
        store: Store,
        board: Board,
        settings: Callable[[], Mapping[str, ScheduleSettings]],
        clock: Callable[[], float],
        log: Log,
    ) -> None:
        self._store = store
        self._board = board
        self._settings = settings
        self._clock = clock
        self._log = log

    def look(self) -> int:
        """Fill the slots that are due. Returns how many tasks were made. A failing schedule is logged and
        tried again at the next look; the others go on."""
        made = 0
        for name, schedule in self._settings().items():
            try:
                made += self._one(name, schedule)
            except HandoffdError as error:
                self._log.warning("schedule.failed", schedule=name, error=error.one_line())
        return made

    def _one(self, name: str, schedule: ScheduleSettings) -> int:
        now = datetime.fromtimestamp(self._clock(), UTC)
        # What lies ahead is from before the clock was put back: what was filled stays filled, once; what was
        # only skipped can still come.
        self._store.unskip_slots(name, after=now.timestamp())
        last = self._store.occurrences(name, limit=1, until=now.timestamp())
        if not last:
            self._store.claim_slot(name, now.timestamp())
            self._store.close_slot(name, now.timestamp(), ARMED, reason="first seen")
            return 0
        rule = trigger(schedule.cron, schedule.timezone)
        # A slot that was claimed by a process that died is taken up again: creation is keyed.
        open_ = [o for o in last if o.state == "claimed"]
        after = datetime.fromtimestamp(last[0].slot, UTC)
        todo = due(rule, after, now, schedule.catch_up)
        if open_:
            slot = datetime.fromtimestamp(open_[0].slot, UTC)
            todo.insert(0, Due(slot=slot, run=True, late=True, reason="taken up after a restart"))
        overtaken = [item for item in todo if not item.run]
        if len(overtaken) > TOLD_ONE_BY_ONE:
            self._skip(name, overtaken)
            todo = [item for item in todo if item.run]
        return sum(self._fill(name, schedule, item, again=bool(open_)) for item in todo)

    def _skip(self, name: str, items: list[Due]) -> None:
        """Weeks of a sleep at once: one transaction and one line for all of them."""
        self._store.skip_slots(name, [(item.slot.timestamp(), item.reason) for item in items])
        told: dict[str, Any] = {
            "schedule": name,
            "slot": items[0].slot.timestamp(),
            "until": items[-1].slot.timestamp(),
        }
        reason = f"{len(items)} slots: {items[0].reason}"
        self._store.event("schedule.slot_skipped", **told, reason=reason)
        self._log.info("schedule.slot_skipped", **told, reason=reason)

    def _fill(self, name: str, schedule: ScheduleSettings, item: Due, *, again: bool) -> int:
        at = item.slot.timestamp()
        if not self._store.claim_slot(name, at) and not again:
            return 0  # another host has it
        reason = item.reason if not item.run else self._overlap(name, schedule)
        if not item.run or reason:
            self._store.close_slot(name, at, "skipped", reason=reason)
            self._store.event("schedule.slot_skipped", schedule=name, slot=at, reason=reason)
            self._log.info("schedule.slot_skipped", schedule=name, slot=at, reason=reason)
            return 0
        task = self._board.create(draft(name, schedule, item.slot))
        self._store.close_slot(name, at, "late" if item.late else "ran", task=task.id, reason=item.reason)
        self._store.event("schedule.slot_filled", task=task.id, schedule=name, slot=at)
        self._log.info("schedule.slot_filled", schedule=name, slot=at, task_id=task.id)
        return 1

    def _overlap(self, name: str, schedule: ScheduleSettings) -> str:
        """Why this slot must not start, "" = it may."""
        if schedule.overlap == "queue":
            return ""
        for before in self._store.occurrences(name, limit=20):
            if not before.task:
                continue
            page = self._board.get(before.task)
            if page.status in (Status.READY, *OURS):
                return f"the task of the slot before is still {page.status_name}"
            return ""
        return ""

    def shown(self) -> tuple[dict[str, object], ...]:
        """Name, cron, zone, next and last slot of each schedule, for people. Times are epoch seconds."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        out: list[dict[str, object]] = []
        for name, schedule in self._settings().items():
            rule = trigger(schedule.cron, schedule.timezone)
            past = [o for o in self._store.occurrences(name, limit=5) if o.state != ARMED]
            out.append(
                {
                    "name": name,
                    "cron": schedule.cron,
                    "timezone": str(rule.timezone),
                    "title": schedule.task.title,
                    "next": [t.timestamp() for t in upcoming(rule, now, 3)],
                    "last": [
                        {"slot": o.slot, "state": o.state, "task": o.task, "reason": o.reason} for o in past
                    ],
                }
            )
        return tuple(out)


def draft(name: str, schedule: ScheduleSettings, slot: datetime) -> Draft:
    """The task of one slot; its key makes it unique for ever."""
    template = schedule.task
    return Draft(
        title=template.title,
        handler=template.handler,
        agent=template.agent,
        priority=Priority.parse(template.priority) or Priority.MEDIUM,
        url=template.url,
        description=template.description,
        parameters=template.parameters,
        acceptance=template.acceptance,
        source_key=f"schedule:{name}:{slot:%Y-%m-%dT%H:%MZ}",
    )
