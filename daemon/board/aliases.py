"""Other names that people give to what handoffd uses, and how likely a name is meant. For the doctor."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from daemon.board.columns import Spec
from daemon.board.schema import folded
from daemon.core.status import Status

ALIASES: Mapping[str, tuple[str, ...]] = {
    "title": ("name", "title", "task", "task title"),
    "status": ("state", "task status", "stage"),
    "priority": ("prio", "urgency"),
    "description": ("details", "summary", "task description", "notes"),
    "handler": ("task handler", "runner"),
    "agent": ("agent", "assigned agent", "owner agent", "agents"),
    "task_type": ("type", "item type", "kind"),
    "url": ("link", "source url"),
    "parameters": ("params", "arguments"),
    "next_step": ("next step", "next action", "next required action"),
    "acceptance": ("acceptance criteria", "definition of done"),
    "due": ("due", "due date", "deadline"),
    "after": ("dependencies", "depends on", "blocked by", "predecessors"),
    "claim": ("claimed by", "lease", "lock"),
    "why": ("blocking reason", "reason"),
    "result": ("execution result", "outcome"),
    "report": ("report url", "report link", "execution report"),
    "attempts": ("attempt", "retry count", "tries"),
    "source_key": ("idempotency key", "dedupe key"),
    "schedule": ("cron", "recurrence"),
    "number": ("task id", "unique id"),
}
"""Other names for a key, from boards that we have seen. Folded: case, spaces and signs don't count."""

STATUS_ALIASES: Mapping[Status, tuple[str, ...]] = {
    Status.READY: ("ready for handoff", "not started", "to do", "todo", "queued"),
    Status.IN_PROGRESS: ("doing", "running", "active", "started"),
    Status.COMPLETED: ("complete", "done", "finished", "closed"),
    Status.FAILED: ("error", "failure"),
    Status.BLOCKED: ("on hold", "stuck"),
    Status.REVIEW: ("in review", "needs review", "partial"),
    Status.WAITING: ("pending", "waiting on agent", "waiting for return", "handoff delivered"),
    Status.CANCELLED: ("canceled", "aborted"),
    Status.ARCHIVED: ("archive",),
    Status.DRAFT: ("proposed", "idea"),
    Status.PLANNING: ("planned", "backlog"),
}
"""The same for the options of the status property, the likeliest first."""

CLOSE = 0.84
"""Similarity from which a spelling counts as meant (difflib ratio): “Sucess Criteria” yes, “Start Date” no.
"""


def likeness(spec: Spec, name: str) -> tuple[float, str]:
    """How surely a property's name means a key, 0…1, and why in words; (0, "") = it does not."""
    if name == spec.name:
        return 1.0, "the name is the same"
    plain = folded(name)
    if plain == folded(spec.name):
        return 0.95, "the same name but for case, spaces or signs"
    if plain in {folded(alias) for alias in ALIASES.get(spec.key, ())}:
        return 0.75, "a usual other name"
    ratio = difflib.SequenceMatcher(None, plain, folded(spec.name)).ratio()
    if ratio >= CLOSE:
        return round(0.6 * ratio, 2), "a close spelling"
    return 0.0, ""


def status_likeness(status: Status, name: str) -> tuple[float, str]:
    """The same for an option of the status property."""
    if name == status.value:
        return 1.0, "the name is the same"
    if folded(name) == folded(status.value):
        return 0.95, "the same name but for case, spaces or signs"
    aliases = [folded(alias) for alias in STATUS_ALIASES.get(status, ())]
    if folded(name) in aliases:
        return round(0.8 - aliases.index(folded(name)) / 50, 2), "a usual other name"
    return 0.0, ""
