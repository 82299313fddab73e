"""Signs of life of a run: measured, not believed. CPU time is the kernel's word, output the child's."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.core import stall


def group_cpu(group: int) -> float | None:
    """CPU seconds that the processes of a group have used so far, with those that they waited for.
    None = can't be told here."""
    if Path("/proc/self/stat").exists():
        return _from_proc(group)
    try:
        told = subprocess.run(
            ["/bin/ps", "-A", "-o", "pgid=,time="], capture_output=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return from_ps(told.stdout.decode("ascii", "replace"), group)


def _from_proc(group: int) -> float:
    ticks = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it ended while we looked
            fields = Path(entry.path, "stat").read_text(errors="replace").rsplit(")", 1)[1].split()
            if int(fields[2]) == group:
                ticks += sum(int(f) for f in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def from_ps(table: str, group: int) -> float:
    """The same from lines of ``ps -o pgid=,time=``: ``[[days-]hours:]minutes:seconds[.hundredths]``."""
    total = 0.0
    for line in table.splitlines():
        number, _, clock = line.strip().partition(" ")
        if number != str(group):
            continue
        days, _, rest = clock.strip().rpartition("-")
        seconds = 0.0
        for part in rest.split(":"):
            seconds = seconds * 60 + float(part)
        total += seconds + 86_400 * float(days or 0)
    return total


class Signs:
    """The last signs of one run. Told from the run's threads, asked from others. ``begin`` is called in the
    thread that carries the run out."""

    def __init__(self) -> None:
        now = time.monotonic()
        self._lock = threading.Lock()
        self._work_at = now
        self._process_at = now
        self._groups: set[int] = set()
        self._measured: tuple[float, float] | None = None
        self._thread_clock: int | None = None
        if hasattr(time, "pthread_getcpuclockid"):
            self._thread_clock = time.pthread_getcpuclockid(threading.get_ident())

    def work(self, for_s: float = 0.0) -> None:
        """A step, progress or evidence; or a wait of ``for_s`` seconds that the run knows of."""
        self._work_at = max(self._work_at, time.monotonic() + for_s)

    def output(self) -> None:
        """A child has written something."""
        self._process_at = time.monotonic()

    @contextmanager
    def child(self, group: int) -> Iterator[None]:
        """A child with this process group runs."""
        with self._lock:
            self._groups.add(group)
        try:
            yield
        finally:
            with self._lock:
                self._groups.discard(group)
            self.output()

    def stalled(self, limit: float) -> str:
        """Measures now; see ``daemon.core.stall.stalled``."""
        now = time.monotonic()
        if limit <= 0 or now - self._work_at < limit / 2:
            return ""
        cpu = self._cpu()
        if cpu is None:
            return ""
        if self._measured is None or stall.used(self._measured[1], cpu, now - self._measured[0]):
            self._process_at, self._measured = now, (now, cpu)
        return stall.stalled(now=now, work_at=self._work_at, process_at=self._process_at, limit=limit)

    def _cpu(self) -> float | None:
        with self._lock:
            groups = list(self._groups)
        total = 0.0
        if self._thread_clock is not None:
            with suppress(OSError):  # the thread has just ended
                total += time.clock_gettime(self._thread_clock)
        elif not groups:
            return None
        for group in groups:
            used = group_cpu(group)
            if used is None:
                return None
            total += used
        return total
