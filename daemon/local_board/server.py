"""The board as a server of its own: uvicorn in a thread."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from daemon.local_board import BoardConfig, create_app

if TYPE_CHECKING:
    from daemon.calm_server import CalmServer

START_LIMIT_S = 20.0
"""How long `start` waits for the server to accept before it gives up."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a bind address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class BoardServer:
    """Serves one board over HTTP from a background thread; also a context manager.

    port 0 takes any free port.  `url` is known after `start`, which returns when requests are accepted and
    raises OSError where the address cannot be bound.  Anything but a loopback host needs a token of at
    least 16 characters, since the API below it can change everything on the board.
    """

    def __init__(self, config: BoardConfig, host: str = "127.0.0.1", port: int = 0) -> None:
        if not is_loopback(host) and len(config.token) < 16:
            raise ValueError("serving beyond this machine needs an explicit token of at least 16 characters")
        self.config = config
        self.host = host
        self.port = port
        self.url = ""
        self._server: CalmServer | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Binds, starts the thread, and returns when the server accepts."""
        import uvicorn

        from daemon.calm_server import CalmServer

        if self._thread is not None:
            raise RuntimeError("the board server is running already")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # With the protocol named, asyncio sets TCP_NODELAY on accepted connections; without it every answer
        # waits
        # 40 ms for a delayed acknowledgement.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self.host, self.port))
            self.app = create_app(self.config)
        except BaseException:
            self._socket.close()
            self._socket = None
            raise
        self.port = self._socket.getsockname()[1]
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.url = f"http://{shown}:{self.port}"
        settings = uvicorn.Config(
            self.app,
            http="h11",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # With a clock of its own the board sends the Date header itself.
            date_header=self.config.now is None,
            timeout_keep_alive=120,
        )
        self._server = CalmServer(settings)
        self._thread = threading.Thread(target=self._serve, name="local-board", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_LIMIT_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        if not self._server.started:
            self.stop()
            raise RuntimeError("the board server did not start")

    def _serve(self) -> None:
        if self._server is not None and self._socket is not None:
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Finishes running requests, stops the thread and closes the file.  Does nothing when not running."""
        if self._server is not None:
            self._server.end()
        if self._thread is not None:
            self._thread.join(timeout=START_LIMIT_S)
            self._thread = None
            self.app.state.board.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._server = None

    def __enter__(self) -> BoardServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
