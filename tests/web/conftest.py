"""A real server over a real store filled with a plausible day, on a free loopback port."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from daemon.store import Store, open_engine
from daemon.testing import MemoryBoard
from daemon.web import WebParts, WebServer
from tests.web.day import Clock, World, empty_snapshot, fill, join


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 1, 14, 9, 30, tzinfo=UTC).timestamp())


@pytest.fixture
def empty_world(tmp_path: Path, clock: Clock) -> Iterator[World]:
    """A daemon on its first day: nothing has happened."""
    engine = open_engine(f"sqlite:///{tmp_path / 'state.db'}")

    @sa.event.listens_for(engine, "connect")
    def _hasten(connection: Any, _record: Any) -> None:
        # Nothing here is about power cuts; without it filling the day takes longer than the test.
        connection.execute("PRAGMA synchronous=OFF")

    yield World(
        home=tmp_path,
        clock=clock,
        store=Store(engine, clock, "3f2a9c41"),
        board=MemoryBoard(clock),
        snapshot=empty_snapshot(clock.now),
    )
    engine.dispose()


@pytest.fixture
def world(empty_world: World) -> World:
    """A day in the life: running, waiting, retrying, refused, failed, done with reports."""
    fill(empty_world)
    return empty_world


@pytest.fixture
def join_host() -> Callable[..., None]:
    """Puts hosts into the store of a world."""
    return join


@pytest.fixture(scope="session")
def stopping() -> Iterator[ThreadPoolExecutor]:
    """Stops servers behind the tests' backs: each takes a fifth of a second of waiting."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def serve(stopping: ThreadPoolExecutor) -> Iterator[Callable[..., WebServer]]:
    """Starts servers; each is stopped after the test."""
    running: list[WebServer] = []

    def start(parts: WebParts, host: str = "127.0.0.1") -> WebServer:
        server = WebServer(parts, host, 0)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        stopping.submit(server.stop)


@pytest.fixture
def site(world: World, serve: Callable[..., WebServer]) -> WebServer:
    """The full day, served."""
    return serve(world.parts())


def client_of(site: WebServer) -> httpx.Client:
    """A client of ``site``; without certificates, which take longer to load than a page to serve."""
    return httpx.Client(base_url=site.url, timeout=10, verify=False)


@pytest.fixture
def connect() -> Callable[[WebServer], httpx.Client]:
    """Makes clients of servers."""
    return client_of


@pytest.fixture
def http(site: WebServer) -> Iterator[httpx.Client]:
    """A client of ``site``."""
    with client_of(site) as client:
        yield client


@pytest.fixture
def raw(site: WebServer) -> Callable[[bytes], bytes]:
    """Sends bytes as they are and gives back what comes until the server closes, or cuts the line."""

    def send(data: bytes) -> bytes:
        out = b""
        with (
            socket.create_connection(("127.0.0.1", int(site.url.rsplit(":", 1)[1])), timeout=8) as s,
            suppress(ConnectionResetError, BrokenPipeError),
        ):
            s.sendall(data)
            while chunk := s.recv(65536):
                out += chunk
        return out

    return send


def csrf_of(text: str) -> str:
    """The form token in a page."""
    found = re.search(r'name="csrf" value="([^"]+)"', text)
    assert found
    return found.group(1)


@pytest.fixture
def csrf(http: httpx.Client) -> str:
    """The form token of ``site``."""
    return csrf_of(http.get("/").text)
