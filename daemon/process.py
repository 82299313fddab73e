"""The process: one daemon for a home folder, signals as plain flags, stacks on demand."""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import gc
import json
import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from daemon.core.errors import TransientError


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What the daemon that holds a home folder says of itself. ``web`` and ``board`` are addresses or ""."""

    pid: int
    web: str = ""
    board: str = ""
    token_file: str = ""


ORPHAN_S = 3.0
"""A daemon that was killed in the instant between fork and exec of a child leaves the lock with that child
until it has started: seen once in some hundred kills. So long the next start waits for it."""


class HomeLock:
    """A kernel lock on one file: it can't go stale, and it dies with its process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._fd: int | None = None

    def take(self) -> None:
        """Raises TransientError (exit 75) naming who holds it."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up = time.monotonic() + ORPHAN_S
        while not _lock(fd, fcntl.LOCK_EX):
            said = _read(fd)
            if _alive(said.pid) or time.monotonic() > give_up:
                os.close(fd)
                raise TransientError(
                    f"a daemon serves {self._file.parent} already (pid {said.pid})",
                    hint="stop it first, or give this one another home folder: --home DIR",
                )
            time.sleep(0.02)
        self._fd = fd
        self.say(Holder(pid=os.getpid()))

    def say(self, news: Holder) -> None:
        """Write what others may want to know into the locked file."""
        assert self._fd is not None  # noqa: S101 - say() is for the holder
        text = json.dumps({f: getattr(news, f) for f in Holder.__dataclass_fields__}).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text, 0)

    def release(self) -> None:
        """Let go. The file stays: removing it would let two holders lock two files of one name."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """One process at a time, and one thread; waits for the others. The file stays, as above."""
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def holder(file: Path) -> Holder | None:
    """The live daemon of a home folder, None when there is none."""
    try:
        fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _lock(fd, fcntl.LOCK_SH):
            return None
        said = _read(fd)
        return said if _alive(said.pid) else None
    finally:
        os.close(fd)


def _lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read(fd: int) -> Holder:
    try:
        return Holder(**json.loads(os.pread(fd, 4096, 0) or b"{}"))
    except (ValueError, TypeError):
        return Holder(pid=0)  # it holds the lock and has not written yet


def _alive(pid: int) -> bool:
    if pid == 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Wake:
    """Wakes the main thread; may be called in a signal handler.

    A ``threading.Event`` may not: its lock is not re-entrant, so a handler that runs while the main thread is
    inside ``wait`` or ``clear`` waits for itself for ever. ``SimpleQueue.put`` is re-entrant by promise.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """End the wait, or the next one."""
        self._calls.put(None)

    def wait(self, seconds: float | None) -> None:
        """Until ``set`` or for so long (None = as long as it takes); all calls until now end one wait."""
        with contextlib.suppress(queue.Empty):
            self._calls.get(timeout=seconds)
        for _ in range(self._calls.qsize()):
            self._calls.get()


class Signals:
    """TERM and the first INT ask to stop, HUP to reload, USR2 to look now; USR1 prints every thread's stack.
    The second INT ends the process at once with 130."""

    def __init__(self) -> None:
        self.wake = Wake()
        self.stop = False
        self.reload = False
        self.look = False
        self._interrupts = 0

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals inside; only in the main thread."""
        mine: dict[int, Callable[[int, FrameType | None], Any]] = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._interrupt,
            signal.SIGHUP: self._reload,
            signal.SIGUSR2: self._look,
        }
        before = {number: signal.signal(number, action) for number, action in mine.items()}
        faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)
        try:
            yield
        finally:
            faulthandler.unregister(signal.SIGUSR1)
            for number, action in before.items():
                signal.signal(number, action)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop = True
        self.wake.set()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            os._exit(128 + signal.SIGINT)
        self._stop(number, frame)

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True
        self.wake.set()

    def _look(self, _number: int, _frame: FrameType | None) -> None:
        self.look = True
        self.wake.set()


def frugal_memory() -> None:
    """Two malloc arenas instead of eight a core: a dozen mostly idle threads need no more (glibc only)."""
    if sys.platform != "linux":
        return
    import ctypes

    m_arena_max = -8
    with contextlib.suppress(AttributeError, OSError):  # musl has no mallopt: nothing to set there
        ctypes.CDLL(None).mallopt(m_arena_max, 2)


def settle() -> None:
    """Start-up is over: what it made stays, and no full collection looks at it again. One look at it all took
    12 ms, and every thirtieth answer of a board waited for one."""
    gc.collect()
    gc.freeze()


def give_back_memory() -> None:
    """Return free heap to the system: what a burst of work or of page views took is not kept (glibc only)."""
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(AttributeError, OSError):  # musl has no malloc_trim: nothing to give back
        ctypes.CDLL(None).malloc_trim(0)


def kept_word(file: Path, make: Callable[[], str]) -> str:
    """A word kept in a file of mode 0600 for good, made on first use. Two processes get the same one."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        word = file.read_text(encoding="utf-8").strip()
        if word:
            return word
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        out.write(make())
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(fresh, file)  # fails if another process was first: its word stands
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return file.read_text(encoding="utf-8").strip()
