"""The HTTP server in its own thread: bound before ``start`` returns, gone when ``stop`` returns."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING

from daemon.core.errors import ConfigError
from daemon.web.parts import WebParts, check_bind

if TYPE_CHECKING:
    from daemon.calm_server import CalmServer
    from daemon.web.room import Room

THREADS = 4
"""Requests that may wait for the store or the files at the same time."""
STOP_SECONDS = 5.0


class WebServer:
    """One server. ``port`` 0 binds any free one; ``url`` has the real one after ``start``."""

    def __init__(self, parts: WebParts, host: str, port: int) -> None:
        """ConfigError when ``host`` is not loopback and no good token is set."""
        check_bind(host, parts.token)
        self._parts = parts
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None
        self._server: CalmServer | None = None
        self._room: Room | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it, without a final slash."""
        name = self._host
        if name in ("0.0.0.0", "::", ""):  # noqa: S104  compared, not bound
            name = "127.0.0.1"
        return f"http://{f'[{name}]' if ':' in name else name}:{self._port}"

    @property
    def alive(self) -> bool:
        """True while the server's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Bind and serve; returns when requests are accepted. ConfigError when the port can't be had."""
        import uvicorn

        from daemon.calm_server import CalmServer
        from daemon.web.app import build
        from daemon.web.connection import Connection

        listener = self._bind()
        app, self._room = build(self._parts, self._host, self._port)
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2,
        )
        self._server = CalmServer(config)
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, args=(self._server, listener, ready), name="web", daemon=True
        )
        self._thread.start()
        ready.wait(STOP_SECONDS)
        self._room.shelf.see()

    def stop(self) -> None:
        """Close the port, end the streams, let answers under way finish for a moment. Twice is fine."""
        if self._server is None or self._room is None or self._thread is None:
            return
        self._server.end()
        if self._loop is not None and self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._room.stream.close(), self._loop)
        self._thread.join(STOP_SECONDS)
        self._room.shelf.close()

    def _serve(self, server: CalmServer, listener: socket.socket, ready: threading.Event) -> None:
        asyncio.run(self._main(server, listener, ready))

    async def _main(self, server: CalmServer, listener: socket.socket, ready: threading.Event) -> None:
        import anyio.to_thread

        self._loop = asyncio.get_running_loop()
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        self._loop.call_soon(ready.set)
        await server.serve(sockets=[listener])

    def _bind(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            raise ConfigError(
                f"web.host {self._host} is not an address: {error.strerror}", hint='web.host = "127.0.0.1"'
            ) from error
        family, kind, protocol, _, address = sorted(found, key=lambda f: f[0] != socket.AF_INET)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise self._taken(error) from error
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        return listener

    def _taken(self, error: OSError) -> ConfigError:
        where = f"{self._host} port {self._port}"
        if error.errno == errno.EADDRINUSE:
            return ConfigError(
                f"the dashboard can't listen on {where}: {_who(self._host, self._port)}",
                hint=f"stop it, or set web.port to another one; "
                f"`lsof -nP -iTCP:{self._port} -sTCP:LISTEN` names the process",
            )
        if error.errno == errno.EACCES:
            return ConfigError(
                f"the dashboard may not listen on {where}", hint="web.port = 8787 needs no rights"
            )
        return ConfigError(
            f"the dashboard can't listen on {where}: {error.strerror}", hint='web.host = "127.0.0.1"'
        )


def _who(host: str, port: int) -> str:
    """What holds the port: another handoffd says so itself."""
    connection = http.client.HTTPConnection(host, port, timeout=1.0)
    try:
        connection.request("GET", "/api/v1/state")
        found = json.loads(connection.getresponse().read(1 << 20))
        return f"handoffd {found['version']} of host {found['host']} listens there already"
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return "another program listens there"
    finally:
        connection.close()
