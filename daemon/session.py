"""What one short command works with: a board, the store, the settings — with or without a running daemon."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daemon.core.ports import Board
from daemon.observability import logging as logs
from daemon.process import Holder, holder
from daemon.settings.load import Loaded
from daemon.wiring import board_token, first_use, open_board, open_store, with_handlers

if TYPE_CHECKING:
    from daemon.engine.registry import Registry
    from daemon.sdk import Rows
    from daemon.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a short command works with."""

    board: Board
    store: Store
    loaded: Loaded
    registry: Registry
    rows: Callable[[str], Rows | None]
    """A further database of the board by its name."""
    daemon: Holder | None
    """The running daemon of this home folder, if any."""

    def poke(self) -> None:
        """Tell the running daemon, if any, to look at the board now."""
        if self.daemon is not None and self.daemon.pid:
            os.kill(self.daemon.pid, signal.SIGUSR2)


@contextmanager
def session(loaded: Loaded) -> Iterator[Session]:
    """Board and store for one command: the running daemon's board, or one served while this lasts."""
    loaded, registry = with_handlers(loaded)
    with ExitStack() as stack:
        found = holder(loaded.paths.lock)
        address = found.board if found else ""
        if loaded.local and not address:
            with first_use(loaded):
                address = stack.enter_context(local_board(loaded)).url
        store = open_store(loaded)
        stack.callback(store.close)
        stop = threading.Event()
        board = open_board(loaded, address=address, stop=stop, log=logs.get_logger())
        stack.callback(board.close)
        stack.callback(stop.set)
        yield Session(
            board=board, store=store, loaded=loaded, registry=registry, rows=board.rows, daemon=found
        )


def local_board(loaded: Loaded) -> Any:
    from daemon.local_board import BoardConfig
    from daemon.local_board.server import BoardServer

    loaded.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return BoardServer(BoardConfig(db=loaded.paths.board_db, token=board_token(loaded)))
