"""APScheduler keeps time: ticks with jitter, schedules, arrivals, retention. No other part keeps a clock."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from daemon.sdk import Log

ALONE = "alone"

JUMP_S = 2.0
"""What time servers correct little by little stays far below this between two looks."""


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires every ``seconds``, up to ``jitter`` later. What was missed is missed: APScheduler's own interval
    works out every single time since the last one, for minutes after a sleep of weeks or a clock put forward.
    """

    def __init__(self, seconds: float, jitter: float = 0.0) -> None:
        self._interval = timedelta(seconds=seconds)
        self._jitter = jitter

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first time after ``now``."""
        due = now if previous_fire_time is None else previous_fire_time
        found = due + self._interval
        if found <= now:
            found = now + self._interval
        return found + timedelta(seconds=random.uniform(0.0, self._jitter))  # noqa: S311 - no secret


class Clockwork:
    """Calls ``tick`` every ``interval`` seconds, and at once when ``look_now`` says so; never two at a time.
    ``fill`` is called in its place when ``fill_now`` was all that was said.

    Other jobs are added with ``every``. A job that raises is logged and called again at its next time.
    """

    def __init__(
        self,
        *,
        tick: Callable[[], object],
        fill: Callable[[], object],
        interval: Callable[[], float],
        jitter: float,
        log: Log,
    ) -> None:
        self._tick = tick
        self._fill = fill
        self._interval = interval
        self._log = log
        self._lock = threading.Lock()
        self._busy = False
        self._again = False
        self._asked: set[str] = set()
        self._stopped = False
        self._ticks = False
        # A job that is still at it, waiting for the board's budget say, skips its turn: that is no news.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
        self._scheduler = BackgroundScheduler(
            # What must not wait for the others gets a thread to itself.
            executors={"default": ThreadPoolExecutor(4), ALONE: ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._jitter = jitter
        self._offset = time.time() - time.monotonic()

    def begin(self) -> None:
        """Start keeping time for all but the tick."""
        self._scheduler.start()

    def start(self) -> None:
        """Tick from now on, at once for the first time."""
        self._scheduler.add_job(
            self._beat,
            Every(self._interval(), self._jitter),
            id="tick",
            next_run_time=_now(),
            # One that is over may not be cleared away yet when the next is asked for.
            max_instances=3,
        )
        with self._lock:
            self._ticks = True
        if not self._scheduler.running:
            self._scheduler.start()

    def every(
        self,
        seconds: float,
        name: str,
        job: Callable[[], object],
        *,
        first: float | None = None,
        alone: bool = False,
    ) -> None:
        """Call ``job`` every ``seconds``, for the first time after ``first`` of them; ``alone``: also while
        all other jobs wait for something, and while the daemon drains."""
        self._scheduler.add_job(
            self._guarded,
            Every(seconds),
            id=name,
            args=(name, job),
            next_run_time=_now() + timedelta(seconds=seconds if first is None else first),
            executor=ALONE if alone else "default",
        )

    def follow(self) -> float:
        """Notice that the machine's clock was put; to be called often. Seconds by which it was, else 0.

        APScheduler keeps its times by that clock: put back by an hour, all jobs would rest for an hour. Put
        forward, they are due at once, which is right after a sleep too.
        """
        offset = _offset()
        if offset is None:
            return 0.0
        jump, self._offset = offset - self._offset, offset
        if abs(jump) < JUMP_S:
            return 0.0
        if jump < 0:
            for job in self._scheduler.get_jobs():
                if job.next_run_time is not None:
                    job.modify(next_run_time=job.next_run_time + timedelta(seconds=jump))
        return jump

    def look_now(self) -> None:
        """Tick as soon as possible; many calls become one tick."""
        self._soon("look")

    def fill_now(self) -> None:
        """The same, where it is enough to fill free places."""
        self._soon("fill")

    def _soon(self, what: str) -> None:
        with self._lock:
            if self._stopped or not self._ticks:
                return
            self._asked.add(what)
            self._again = self._busy
            if not self._busy:
                self._scheduler.modify_job("tick", next_run_time=_now())

    def retime(self) -> None:
        """The interval has changed."""
        self._scheduler.reschedule_job("tick", trigger=Every(self._interval(), self._jitter))

    def stop(self) -> None:
        """No new job begins but those that are ``alone``; those under way go on."""
        with self._lock:
            self._stopped = True
            for job in self._scheduler.get_jobs():
                if job.executor != ALONE:
                    job.remove()

    def end(self) -> None:
        """Nothing begins any more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _beat(self) -> None:
        with self._lock:
            if self._busy:
                return
            self._busy = True
        while True:
            with self._lock:
                job = self._fill if self._asked == {"fill"} else self._tick
                self._asked.clear()
                self._again = False
            self._guarded("tick", job)
            with self._lock:
                # What was asked for meanwhile is done here: APScheduler drops a turn that comes while this
                # one is not cleared away yet.
                if not self._again or self._stopped:
                    self._busy = False
                    return

    def _guarded(self, name: str, job: Callable[[], object]) -> None:
        try:
            job()
        # The clock must go on whatever one job did; a failed tick is told and the next one starts afresh.
        except Exception as error:  # noqa: BLE001
            event = "tick.failed" if name == "tick" else "job.failed"
            self._log.error(event, job=name, error=str(error), error_type=type(error).__name__, exc_info=True)


def _offset() -> float | None:
    """What the clock is ahead of the time that nobody puts; None when the two looks were too far apart."""
    before, wall, after = time.monotonic(), time.time(), time.monotonic()
    return wall - before if after - before < JUMP_S / 4 else None


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)
