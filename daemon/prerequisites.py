"""What a tick knows of the tasks that others wait for."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.core.errors import HandoffdError
from daemon.core.ports import Board
from daemon.core.status import Status
from daemon.core.task import Task

COMPLETED_FOR_S = 600.0
"""How long a prerequisite once seen Completed is not read again."""


class Prerequisites:
    """Reads what no look shows, and remembers what was Completed."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._seen: dict[str, float] = {}

    def known(
        self, ready: Sequence[Task], tasks: Sequence[Task], now: float
    ) -> tuple[frozenset[str], dict[str, str]]:
        """(ids known to be Completed, id → what is known of the others)."""
        open_ = {t.id: t.status_name for t in tasks}
        completed, unmet = set(), {}
        for wanted in {i for t in ready for i in t.after}:
            if wanted in open_:
                unmet[wanted] = open_[wanted]
            elif now - self._seen.get(wanted, float("-inf")) < COMPLETED_FOR_S:
                completed.add(wanted)
            else:
                said = self._status_of(wanted)
                if said is Status.COMPLETED:
                    self._seen[wanted] = now
                    completed.add(wanted)
                else:
                    unmet[wanted] = said
        return frozenset(completed), unmet

    def _status_of(self, task: str) -> Status | str:
        try:
            page = self._board.get(task)
        except HandoffdError as error:
            return f"not readable: {error.code}"
        return page.status or page.status_name
