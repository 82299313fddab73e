"""Who goes first: priority, then due date, then age. Old work never starves behind new (incident AT-23).

A task that could run and finds no place rises one class for every ``step`` seconds that it has waited so.
There is no highest class, so the wait is bounded: a task of class *p* can be overtaken by one of class *q*
only when that one came less than *(p - q + 1) × step* after it (``overtaking_window``). Whatever comes later
stays behind it; what is left to wait for is the work that was there by then.
"""

from __future__ import annotations

from datetime import UTC, datetime

from daemon.core.task import Priority, Task

_NEVER = datetime.max.replace(tzinfo=UTC)


def level(priority: Priority, waited: float = 0.0, step: float = 0.0) -> int:
    """The class that a task counts as; lower is sooner. ``waited``: seconds that it could have run and found
    no place; ``step``: seconds of such a wait for one class, 0 = priorities are strict."""
    return int(priority) - int(max(0.0, waited) // step) if step > 0 else int(priority)


def key(task: Task, waited: float = 0.0, step: float = 0.0) -> tuple[int, datetime, datetime, int, str]:
    """Sort key: class, due (none last), created (minute-granular), unique number, id."""
    return (
        level(task.priority, waited, step),
        task.due or _NEVER,
        task.created,
        task.number if task.number is not None else 2**62,
        task.id,
    )


def overtaking_window(waiting: Priority, newcomer: Priority, step: float) -> float:
    """Seconds after a task of class ``waiting`` became able to run, from which on no newcomer of class
    ``newcomer`` can go before it any more."""
    return max(0, int(waiting) - int(newcomer) + 1) * step
