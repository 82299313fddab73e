"""Whether a person has finished with a row: a page that says Ready may still be half-typed (pain 41).

The API shows the last edit by the minute, so alone it can only say that an edit is *not* over a minute ago.
What two looks saw alike says more, and sooner; the earlier of both counts.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from daemon.core.task import Task

MINUTE_S = 60.0
"""How far the true time of an edit may lie behind the one that is shown (research/notion.md §2.11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a row said, and since when (epoch s) each look has seen it say just that."""

    content: Hashable
    since: float


def content(task: Task) -> Hashable:
    """What a person types. Not what the daemon writes, and no address of a file: these are signed anew for
    each answer (pain 43)."""
    return (
        task.title,
        task.priority,
        task.description,
        task.handler,
        task.agents,
        task.task_type,
        task.url,
        task.parameters,
        task.next_step,
        task.acceptance,
        task.due,
        task.after,
        task.edited,
    )


def sight(task: Task, before: Sight | None, now: float) -> Sight:
    """The row as seen ``now``, joined with what was seen of it ``before``. A clock that went back begins
    anew."""
    said = content(task)
    if before is not None and before.content == said and before.since <= now:
        return before
    return Sight(content=said, since=now)


def until(task: Task, seen: Sight, rest: float) -> float:
    """Epoch seconds from which the row counts as finished. ``rest``: seconds that nobody may have typed."""
    return min(task.edited.timestamp() + MINUTE_S, seen.since) + rest


def resting(
    tasks: Mapping[str, Task], seen: Mapping[str, Sight], rest: float, now: float
) -> dict[str, float]:
    """Task id → when it counts as finished, for rows that a person edited last and that do not yet."""
    if rest <= 0:
        return {}
    found = {i: until(task, seen[i], rest) for i, task in tasks.items() if task.by_person and i in seen}
    return {i: at for i, at in found.items() if at > now}
