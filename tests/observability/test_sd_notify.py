"""What the service manager hears, on a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.observability.sd_notify import Notifier, watchdog_interval


class Listener:
    """The manager's end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(2)
        self.socket.bind(address)

    def fields(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Listener, Notifier]]:
    if request.param == "abstract":
        if not os.path.exists("/proc/net/unix"):
            pytest.skip("abstract sockets are Linux's")
        name = f"@handoffd-test-{os.getpid()}"
        listener = Listener("\0" + name[1:])
    else:
        name = str(tmp_path / "notify")
        listener = Listener(name)
    yield listener, Notifier({"NOTIFY_SOCKET": name})
    listener.socket.close()


def test_each_message_arrives_as_the_protocol_says(manager: tuple[Listener, Notifier]) -> None:
    listener, notifier = manager
    assert notifier.active
    assert notifier.ready("2 tasks\nREADY=0")
    assert listener.fields() == {"READY": "1", "STATUS": "2 tasks READY=0"}  # a value can't begin a field
    assert notifier.status("Draining")
    assert listener.fields() == {"STATUS": "Draining"}
    assert notifier.stopping("bye")
    assert listener.fields() == {"STOPPING": "1", "STATUS": "bye"}
    assert notifier.ping()
    assert listener.fields() == {"WATCHDOG": "1"}
    assert notifier.extend(2.5)
    assert listener.fields() == {"EXTEND_TIMEOUT_USEC": "2500000"}


def test_a_reload_carries_the_monotonic_time(manager: tuple[Listener, Notifier]) -> None:
    listener, notifier = manager
    before = time.monotonic_ns() // 1000
    assert notifier.reloading()
    fields = listener.fields()
    assert fields["RELOADING"] == "1"
    assert before <= int(fields["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


def test_without_a_manager_nothing_is_sent_and_nothing_fails() -> None:
    notifier = Notifier({})
    assert not notifier.active
    assert not notifier.ready()
    assert notifier.watchdog_interval is None


def test_a_manager_that_is_gone_is_told_by_the_result(tmp_path: Path) -> None:
    assert Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready() is False


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "120000000"}, 60.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "7"}, 60.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_pings_are_due_twice_in_the_limit_and_only_from_the_named_process(
    env: dict[str, str], expected: float | None
) -> None:
    assert watchdog_interval(env, 7) == expected
