"""The one way to run a program: own process group, limits, bounded output, killed as a group.

A hung, chatty, forking or endless child can't hold a run longer than its limits, and none outlives the daemon
(on Linux; elsewhere the next start finds the work folder empty of owners and sweeps it).
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from daemon.core import stall
from daemon.engine import cores
from daemon.engine.signs import Signs, group_cpu
from daemon.sdk import ChildResult

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""All that a child sees of our environment: no token can leak through it."""

GRACE_S = 2.0
"""Between SIGTERM and SIGKILL: a cancelled run must have stopped its processes within 5 s."""

_LIVE: set[int] = set()
"""Process groups under way; only whole operations on it, which CPython makes one at a time."""

_LAUNCH = str(Path(__file__).with_name("launch.py"))


def run_child(
    argv: Sequence[str],
    *,
    timeout: float,
    silence: float | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    on_line: Callable[[str], None] | None = None,
    keep: int = 65536,
    max_file: int | None = None,
    max_memory: int | None = None,
    one_core: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    signs: Signs | None = None,
) -> ChildResult:
    """See ``daemon.sdk.Context.child``. ``cancelled`` is asked about ten times a second; ``signs`` is told of
    its output."""
    own = tuple(str(a) for a in argv)
    limits = (str(number or 0) for number in (os.getpid(), max_file, max_memory))
    environment = {k: os.environ[k] for k in PASSED_ON if k in os.environ}
    environment |= {"HOME": str(cwd or Path.cwd()), **(env or {})}
    began = time.monotonic()
    with tempfile.TemporaryFile() as fed:
        fed.write(stdin)
        fed.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", _LAUNCH, *limits, "batch" if one_core else "", *own],
            stdin=fed,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
    watch = _Watch(process, keep, on_line, signs)
    _LIVE.add(process.pid)
    try:
        with (
            signs.child(process.pid) if signs is not None else nullcontext(),
            cores.shared(process.pid) if one_core else nullcontext(),
        ):
            ended = watch.until(began + timeout, silence, cancelled)
    except BaseException:
        _kill(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        _LIVE.discard(process.pid)
        watch.close()
    return ChildResult(
        argv=own,
        returncode=watch.returncode,
        ended=ended,
        stdout=watch.text("stdout"),
        stderr=watch.text("stderr"),
        wall_s=time.monotonic() - began,
        cpu_s=watch.cpu_s,
        why=watch.why,
    )


def kill_children() -> int:
    """Kill every child under way, at once: the work that they do is not ours any more. Returns how many."""
    groups = list(_LIVE)
    for group in groups:
        _kill(group, signal.SIGKILL)
    return len(groups)


def _kill(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS says so for an empty group
        os.killpg(group, number)


class _Watch:
    """Reads both pipes and waits for the end, whichever limit comes first."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        keep: int,
        on_line: Callable[[str], None] | None,
        signs: Signs | None = None,
    ) -> None:
        self._process = process
        self._keep = keep
        self._on_line = on_line
        self._kept = {"stdout": bytearray(), "stderr": bytearray()}
        self._partial = bytearray()
        self._selector = selectors.DefaultSelector()
        self._last_output = time.monotonic()
        self._signs = signs
        self._cpu: tuple[float, float] | None = None
        self._looked = 0.0
        self.why = ""
        self.returncode = 0
        self.cpu_s = 0.0
        for name in ("stdout", "stderr"):
            pipe = getattr(process, name)
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, name)

    def text(self, name: str) -> str:
        return self._kept[name].decode("utf-8", "replace")

    def close(self) -> None:
        self._selector.close()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def until(self, deadline: float, silence: float | None, cancelled: Callable[[], bool]) -> str:
        wait = 0.001
        while not self._reaped():
            wait = 0.001 if self._read(wait) else min(wait * 2, 0.1)
            now = time.monotonic()
            if cancelled():
                return self._stop("cancelled")
            if now >= deadline:
                return self._stop("timeout")
            if silence is not None and self._silent(now, silence):
                return self._stop("silence")
        # What the leader left behind in its group goes too; then the pipes are at their end.
        _kill(self._process.pid, signal.SIGKILL)
        self._drain()
        return "exit"

    def _silent(self, now: float, silence: float) -> bool:
        """No output for so long, and no CPU time used for as long: one sign alone kills nobody."""
        quiet = now - self._last_output
        if quiet < silence / 4 or now - self._looked < silence / 4:
            return False
        self._looked = now
        used = group_cpu(self._process.pid)
        if used is None:
            return False  # without the second sign only the time limit ends it
        if self._cpu is None or stall.used(self._cpu[1], used, now - self._cpu[0]):
            self._cpu = (now, used)
            return False
        idle = now - self._cpu[0]
        if quiet < silence or idle < silence:
            return False
        self.why = f"no output for {quiet:.0f} s and no CPU time used for {idle:.0f} s"
        return True

    def _stop(self, why: str) -> str:
        _kill(self._process.pid, signal.SIGTERM)
        give_up = time.monotonic() + GRACE_S
        while not self._reaped() and time.monotonic() < give_up:
            self._read(0.02)
        _kill(self._process.pid, signal.SIGKILL)
        while not self._reaped():
            self._read(0.02)
        self._drain()
        return why

    def _reaped(self) -> bool:
        if self._process.returncode is not None:
            return True
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if pid == 0:
            return False
        self.returncode = self._process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s = usage.ru_utime + usage.ru_stime
        return True

    def _drain(self) -> None:
        give_up = time.monotonic() + 1.0
        while self._selector.get_map() and time.monotonic() < give_up:
            self._read(0.05)
        if self._partial:
            self._line(bytes(self._partial))

    def _read(self, wait: float) -> bool:
        """Whether something came, or an end. Closed pipes leave the selector; with none left this waits."""
        if not self._selector.get_map():
            time.sleep(wait)
            return False
        got = False
        for key, _ in self._selector.select(wait):
            try:
                data = os.read(key.fd, 65536)
            except BlockingIOError:
                continue
            got = True
            if not data:  # it is about to end: looked for at once, not after a pause that had grown meanwhile
                self._selector.unregister(key.fileobj)
                continue
            self._last_output = time.monotonic()
            if self._signs is not None:
                self._signs.output()
            kept = self._kept[key.data]
            kept += data
            del kept[: max(0, len(kept) - self._keep)]
            if key.data == "stdout" and self._on_line is not None:
                self._lines(data)
        return got

    def _lines(self, data: bytes) -> None:
        *whole, rest = (bytes(self._partial) + data).split(b"\n")
        for line in whole:
            self._line(line)
        # A line without an end must not fill the memory: what is too long for a line is not one of ours.
        self._partial = bytearray(rest[: self._keep])

    def _line(self, line: bytes) -> None:
        if self._on_line is not None:
            self._on_line(line.decode("utf-8", "replace"))
