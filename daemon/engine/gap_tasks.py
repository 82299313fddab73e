"""Gaps that a run's evidence shows become tasks, once: the key is the gap's, whichever run sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon.core.errors import HandoffdError
from daemon.core.ports import Bundle
from daemon.core.task import Draft, Priority
from daemon.core.text import one_line
from daemon.engine.context import RunContext

GapsOf = Callable[[Bundle], Sequence[Draft]]
"""A run's gaps as tasks, each with its source key; from the reports room."""

WORTH = Priority.MEDIUM
"""Gaps below this stay lines of the report: a step that was slow once is no work for a person."""


def make(bundle: Bundle, gaps_of: GapsOf, ctx: RunContext) -> list[str]:
    """Ids of the tasks for ``bundle``'s gaps, found or made, under the caps of follow-ups.

    Raises nothing: a gap that could not be told is found again by the next run, and must not hold back this
    one's end.
    """
    out: list[str] = []
    try:
        found = gaps_of(bundle)
    # It looks at earlier reports, on a disk that may be full or read-only; as with a broken template, the end
    # of the run is worth more.
    except Exception as error:  # noqa: BLE001
        ctx.log.warning("gap.not_made", error=one_line(f"{type(error).__name__}: {error}", 300))
        return out
    for draft in found:
        if draft.priority > WORTH:
            continue
        try:
            out.append(ctx.create_once(draft.source_key, draft))
        except HandoffdError as error:
            ctx.log.warning("gap.not_made", key=draft.source_key, error=error.one_line())
    return out
