"""Speaks systemd's notify protocol (man 3 sd_notify); says nothing without ``NOTIFY_SOCKET``.

Own code because the protocol is one ``sendto`` and the packages for it are compiled or abandoned
(research/style.md §4.4).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Tells the service manager how the daemon is. Every method returns whether it was told.

    A lost message is no reason to stop: the caller may log a False, systemd's own time limits decide.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        env = os.environ if env is None else env
        name = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self.watchdog_interval = watchdog_interval(env, os.getpid())
        """Seconds between two pings (half of what systemd allows), None when it does not watch."""

    @property
    def active(self) -> bool:
        """Whether somebody listens."""
        return bool(self._address)

    def ready(self, status: str = "") -> bool:
        """Start-up, or a reload, is over."""
        return self._send(READY=1, **({"STATUS": status} if status else {}))

    def status(self, text: str) -> bool:
        """The line that ``systemctl status`` shows."""
        return self._send(STATUS=text)

    def reloading(self) -> bool:
        """A reload began; ``ready`` ends it. The time lets systemd tell it from an earlier one."""
        return self._send(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def stopping(self, status: str = "") -> bool:
        """The stop began."""
        return self._send(STOPPING=1, **({"STATUS": status} if status else {}))

    def ping(self) -> bool:
        """Feed the watchdog. Only the main loop may, and only when a tick has finished lately."""
        return self._send(WATCHDOG=1)

    def extend(self, seconds: float) -> bool:
        """Ask for this many seconds more, from now, before a start or stop counts as hung."""
        return self._send(EXTEND_TIMEOUT_USEC=int(seconds * 1_000_000))

    def _send(self, **fields: str | int) -> bool:
        if not self._address:
            return False
        # A line break in a value would begin a new field.
        lines = [f"{key}={' '.join(str(value).splitlines())}" for key, value in fields.items()]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(1.0)
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return False
        return True


def watchdog_interval(env: Mapping[str, str], pid: int) -> float | None:
    """Seconds between two pings: half of ``WATCHDOG_USEC``, when it is meant for this process."""
    limit = env.get("WATCHDOG_USEC", "")
    owner = env.get("WATCHDOG_PID", "")
    if not limit.isdecimal() or int(limit) == 0 or (owner and owner != str(pid)):
        return None
    return int(limit) / 2_000_000
