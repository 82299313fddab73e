"""The clock is put by an hour and more, and daylight saving comes and goes, under a running daemon."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon import service
from daemon.core.status import Status
from daemon.core.task import Draft
from daemon.settings.load import load
from daemon.triggers.schedules import ARMED

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0

SETTINGS = """
[poll]
interval = 1.0
jitter = 0.0

[schedules.nightly]
cron = "30 2 * * *"
timezone = "Europe/Berlin"
overlap = "queue"
task = {title = "Nightly digest", handler = "report"}

[schedules.hourly]
cron = "30 * * * *"
timezone = "Europe/Berlin"
overlap = "queue"
task = {title = "Hourly digest", handler = "report"}
"""


class Clocked:
    """A daemon, its home, and its clock."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        (home / "handoffd.toml").write_text(SETTINGS)
        self._offset = home.parent / "offset"
        self._offset.write_text("0")
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }
        self.loaded = load(home=home, env=self.env)
        self._log = home / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [sys.executable, str(HERE / "clocked.py"), str(self._offset)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*argv, "--home", str(self.home), "run", "--no-web"],
                env=self.env,
                cwd=self.home,
                stdout=log,
                stderr=log,
            )
        self.until(lambda: "daemon.started" in self.tail())
        self.until(self.armed)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            assert self.process.wait(60) == 0, self.tail()

    def put(self, offset: float) -> None:
        """Put the daemon's clock; it reads the file at each look, so the file is replaced whole."""
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(repr(offset))
        fresh.rename(self._offset)

    def set_to(self, moment: datetime) -> None:
        self.put(moment.timestamp() + 5.0 - time.time())

    def until(self, done: Callable[[], object], within: float = 60.0) -> None:
        end = time.monotonic() + within
        while not done():
            assert self.process is None or self.process.poll() is None, self.tail()
            assert time.monotonic() < end, self.tail()
            time.sleep(0.1)

    def tail(self) -> str:
        return self._log.read_text()[-4000:]

    def slots(self, schedule: str) -> list[str]:
        """The slots that became tasks, oldest first, in the schedule's own time."""
        with service.session(self.loaded) as short:
            found = short.store.occurrences(schedule)
        told = [datetime.fromtimestamp(o.slot, BERLIN) for o in found if o.state != ARMED and o.task]
        return [f"{t:%m-%d %H:%M %Z}" for t in reversed(told)]

    def armed(self) -> bool:
        with service.session(self.loaded) as short:
            return all(short.store.occurrences(name) for name in ("nightly", "hourly"))


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[Clocked]:
    made = Clocked(tmp_path / "home")
    yield made
    made.stop()


def ends(clocked: Clocked, title: str) -> float:
    """A new task runs to its end; how long that took."""
    began = time.monotonic()
    with service.session(clocked.loaded) as short:
        task = short.board.create(Draft(title=title, handler="report", parameters='since = "1d"')).id
        clocked.until(lambda: short.board.get(task).status is Status.COMPLETED)
        assert len(short.store.runs(task=task)) == 1
    return time.monotonic() - began


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [-HOUR, HOUR, -400 * 24 * HOUR])
def test_work_goes_on_at_once_when_the_clock_is_put(clocked: Clocked, seconds: float) -> None:
    """Put back, every job of the daemon's own clock would rest until it has caught up with itself."""
    clocked.start()
    ends(clocked, "before")
    clocked.put(seconds)
    assert ends(clocked, "after") < 30.0
    clocked.put(0.0)
    assert ends(clocked, "back again") < 30.0
    assert clocked._log.read_text().count("clock.stepped") >= 1


@pytest.mark.timeout(300)
def test_a_named_hour_comes_once_in_the_nights_that_have_it_twice_or_not_at_all(clocked: Clocked) -> None:
    """Autumn 2026 (02:30 comes twice) and spring 2027 (it does not come), hour by hour under one daemon."""
    first = datetime(2026, 10, 25, 1, 45, tzinfo=BERLIN)
    clocked.set_to(first)
    clocked.start()

    def pass_by(moment: datetime, *, hourly: int, nightly: int) -> None:
        clocked.set_to(moment)
        clocked.until(lambda: len(clocked.slots("hourly")) >= hourly)
        clocked.until(lambda: len(clocked.slots("nightly")) >= nightly)

    pass_by(datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), hourly=1, nightly=1)
    pass_by(datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN), hourly=2, nightly=1)
    # Put back by an hour: 02:30 comes a third time, and it is the first one again.
    pass_by(datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), hourly=2, nightly=1)
    pass_by(datetime(2026, 10, 25, 3, 30, tzinfo=BERLIN), hourly=3, nightly=1)
    assert clocked.slots("nightly") == ["10-25 02:30 CEST"]
    assert clocked.slots("hourly") == ["10-25 02:30 CEST", "10-25 02:30 CET", "10-25 03:30 CET"]
    pass_by(datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN), hourly=4, nightly=2)

    clocked.set_to(datetime(2027, 3, 28, 1, 15, tzinfo=BERLIN))
    # What was missed meanwhile may be made up for, once: the slots that follow are waited for by name.
    for moment, slot in (
        (datetime(2027, 3, 28, 1, 30, tzinfo=BERLIN), "03-28 01:30 CET"),
        (datetime(2027, 3, 28, 3, 30, tzinfo=BERLIN), "03-28 03:30 CEST"),
        (datetime(2027, 3, 28, 4, 30, tzinfo=BERLIN), "03-28 04:30 CEST"),
    ):
        clocked.set_to(moment)
        clocked.until(lambda: slot in clocked.slots("hourly"))  # noqa: B023 - called before the next turn
    clocked.until(lambda: "03-28 03:30 CEST" in clocked.slots("nightly"))
    hours = [s for s in clocked.slots("hourly") if s >= "03-28 01"]
    assert hours == ["03-28 01:30 CET", "03-28 03:30 CEST", "03-28 04:30 CEST"]
    assert [s for s in clocked.slots("nightly") if s.startswith("03-28")] == ["03-28 03:30 CEST"]
    with service.session(clocked.loaded) as short:
        keys = [t.source_key for t in short.board.list()]
    assert len(keys) == len(set(keys)), "no slot became two tasks"
