"""The local board: Notion's REST API on one SQLite file.

Stands in for api.notion.com for versions 2025-09-03 and 2026-03-11: for people without a Notion account, for
tests, and for trying a workflow before pointing it at a workspace.  It imports nothing of the rest of the
project, so it can be read, run and tested alone.

What is served, endpoint by endpoint, is listed in docs/board-conformance.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["DEFAULT_ROOT_PAGE", "BoardConfig", "create_app"]

DEFAULT_ROOT_PAGE = "95ba0116-6776-4c19-9e45-54e77415f03b"
"""The page that exists from the start and is shared with the token; everything else is created below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardConfig:
    """How one local board is set up.

    db: the SQLite file, or ":memory:" for a board that is gone with the process.
    token: the one bearer token that is let in; every other one gets 401.
    root_page: id of the page that exists from the start.
    rate_limit: requests per fixed window of 60 s; None (the default) is no limit.
    now: the clock, an aware datetime in any zone; None is the machine's clock.
    seed: makes every generated id, colour and fault decision repeatable; None is random.
    public_url: where clients reach the board, used in file and upload links ("" = from the request's Host).
    """

    db: Path | str
    token: str
    root_page: str = DEFAULT_ROOT_PAGE
    rate_limit: int | None = None
    now: Callable[[], datetime] | None = None
    seed: int | None = None
    public_url: str = ""


def create_app(config: BoardConfig) -> Starlette:
    """The ASGI app: the API under /v1/, the test and simulation controls under /_board/.

    Opens (and creates where missing) the database at once, so a bad path fails here and not at the first
    request.  `app.state.board` is the `Board` behind it, for in-process use by tests.
    """
    from daemon.local_board.app import build_app

    return build_app(config)
