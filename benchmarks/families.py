"""Every process that a room started, found and ended, whatever became of its parents."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphans below this process become its children, so none gets lost."""


def adopt_orphans() -> None:
    """Make this process the parent of orphans below it (Linux; elsewhere only groups are ended)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def below(pid: int) -> list[int]:
    """The processes below ``pid``, children first; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it may end while we look
            fields = entry.read_text().rsplit(")", 1)[1].split()
            children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    out: list[int] = []
    queue = [pid]
    while queue:
        found = children.get(queue.pop(0), [])
        out += found
        queue += found
    return out


def end(group: int, others: frozenset[int]) -> int:
    """Kill the process group and all that is left below this process, except ``others``: what was below it
    before the group was started. How many were killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    met: set[int] = set()
    until = time.monotonic() + 5.0
    while (left := [p for p in below(os.getpid()) if p not in others]) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        met.update(left)
        time.sleep(0.02)
    return len(met)
