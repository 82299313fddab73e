"""When work counts as hanging: two independent signs of life must both be missing (research/dispatch.md §2.3:
a single check of one kind kills healthy workers)."""

from __future__ import annotations

CPU_SHARE = 0.01
"""Of one core: what uses less has made no progress; a process that polls and waits stays below it."""


def stalled(*, now: float, work_at: float, process_at: float | None, limit: float) -> str:
    """Why the work counts as hanging, "" = it does not. Monotonic seconds.

    ``work_at``: last step, progress or evidence; ``process_at``: last output or CPU time of its thread and
    its child processes, None = this machine can't tell, so nothing is said. ``limit`` 0 = never.
    """
    if limit <= 0 or process_at is None:
        return ""
    idle, dead = now - work_at, now - process_at
    if idle < limit or dead < limit:
        return ""
    return (
        f"stalled: no step and no progress for {idle:.0f} s, "
        f"and no output and no CPU time of its processes for {dead:.0f} s"
    )


def used(before: float, after: float, seconds: float) -> bool:
    """Whether CPU time that went from ``before`` to ``after`` in ``seconds`` is a sign of life. A sum that
    fell is one as well: a process of the group has ended."""
    return after < before or after - before >= max(0.02, CPU_SHARE * seconds)
