"""A board whose writes ask first whether this host still may write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daemon.core.claim import Claim
    from daemon.core.ports import Board, PageWrite
    from daemon.core.status import Status
    from daemon.core.task import Draft, Task


class FencedBoard:
    """``board`` with ``check`` before every write; all else is the board's own. ``check`` raises Fenced."""

    def __init__(self, board: Board, check: Callable[[], None]) -> None:
        self._board = board
        self._check = check

    def __getattr__(self, name: str) -> Any:
        return getattr(self._board, name)

    def claim(self, task: Task, claim: Claim, attempts: int) -> Task:
        self._check()
        return self._board.claim(task, claim, attempts)

    def write(self, task_id: str, held: Claim, change: PageWrite) -> Task:
        self._check()
        return self._board.write(task_id, held, change)

    def note(self, task_id: str, *, why: str, status: Status | None = None) -> None:
        self._check()
        self._board.note(task_id, why=why, status=status)

    def set_status(self, task_id: str, status: Status) -> Task:
        self._check()
        return self._board.set_status(task_id, status)

    def section(self, task_id: str, run_id: str, markdown: str) -> None:
        self._check()
        self._board.section(task_id, run_id, markdown)

    def create(self, draft: Draft) -> Task:
        self._check()
        return self._board.create(draft)

    def comment(self, task_id: str, key: str, text: str) -> None:
        self._check()
        self._board.comment(task_id, key, text)
