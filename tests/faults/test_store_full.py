"""A disk without room for the store itself: a real file system, the real daemon, nothing lost or twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon import service
from daemon.core.status import RunState, Status
from daemon.core.task import Draft
from daemon.settings.load import load

ROOT = Path(__file__).resolve().parents[2]

HANDLER = """
import time
from dataclasses import dataclass
from pathlib import Path

from daemon.sdk import Done, Gate, handler


@dataclass(frozen=True)
class Params:
    pass


def note(text):
    with open({notes!r}, "a") as out:
        out.write(text + "\\n")


def hold(title):
    note(title + " holds")
    while not Path({go!r}).exists():
        time.sleep(0.02)


@handler
class Holder:
    name = "holder"
    Params = Params
    gates = (Gate(name="done", title="It is done"),)

    def run(self, task, params, ctx):
        ctx.step("before", note, task.title + " before")
        ctx.step("hold", hold, task.title)
        ctx.step("after", note, task.title + " after")
        ctx.evidence("done", "check", "x", True)
        return Done(summary="Held.")
"""


class Home:
    """A home folder on a file system of its own."""

    def __init__(self, root: Path) -> None:
        self.home, self.notes_file, self.go = root / "home", root / "notes", root / "go"
        self._log, site = root / "log", root / "site"
        info = site / "holder_handler-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: holder-handler\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[handoffd.handlers]\nholder = holder_handler:Holder\n")
        code = HANDLER.replace("{notes!r}", repr(str(self.notes_file))).replace("{go!r}", repr(str(self.go)))
        (site / "holder_handler.py").write_text(code)
        text = "[run]\nconcurrency = 1\ndrain = 1.0\n[poll]\ninterval = 0.5\njitter = 0.0\n"
        (self.home / "handoffd.toml").write_text(text)
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
            "TMPDIR": str(root),
        }
        self.loaded = load(home=self.home, env=self.env)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [sys.executable, "-B", "-m", "daemon", "--home", str(self.home), "run", "--no-web"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(argv, env=self.env, cwd=self.home, stdout=log, stderr=log)

    def log(self) -> str:
        return self._log.read_text()

    def notes(self) -> list[str]:
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []

    def fill(self) -> None:
        """Take all the room that is left."""
        with (self.home / "filler").open("wb", buffering=0) as out:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        out.write(b"x" * size)
                except OSError:
                    continue

    def make_room(self) -> None:
        (self.home / "filler").unlink()

    def until(self, done: Callable[[], object], within: float = 100.0) -> None:
        end = time.monotonic() + within
        while not done():
            assert self.process is not None and self.process.poll() is None, self.log()[-4000:]
            assert time.monotonic() < end, self.log()[-6000:]
            time.sleep(0.1)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    folder = tmp_path / "home"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(argv, capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.decode().strip()}")
    made = Home(tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("restart", [False, True], ids=["it goes on", "killed and started meanwhile"])
def test_a_full_disk_stops_the_work_until_there_is_room(home: Home, restart: bool) -> None:
    with service.session(home.loaded) as short:
        first = short.board.create(Draft(title="First", handler="holder")).id
        second = short.board.create(Draft(title="Second", handler="holder")).id
    home.start()
    home.until(lambda: "First holds" in home.notes())
    home.fill()
    home.go.touch()
    home.until(lambda: '"store.waits"' in home.log() and '"store.failed"' in home.log(), 150.0)
    assert "the disk of the store is full" in home.log()
    assert home.process is not None and home.process.poll() is None, home.log()[-3000:]
    assert home.notes() == ["First before", "First holds"], "no step begins that could not be kept"
    if restart:
        home.process.send_signal(signal.SIGKILL)
        home.process.wait()
        home.start()
        home.process.wait(60)
        assert home.process.returncode in (69, 75), (home.process.returncode, home.log()[-3000:])
        assert "Traceback" not in home.log(), home.log()[-3000:]
    home.make_room()
    if restart:
        home.start()
    with service.session(home.loaded) as short:
        for task in (first, second):
            home.until(lambda: short.board.get(task).status is Status.COMPLETED)  # noqa: B023
        home.until(lambda: not short.store.active_runs())
        runs = {t: [(r.attempt, r.state) for r in short.store.runs(task=t)] for t in (first, second)}
        names = [e.name for e in short.store.events()]
    assert runs == {t: [(1, RunState.COMPLETED)] for t in (first, second)}
    held = ["First before", "First holds", *["First holds"][: int(restart)], "First after"]
    assert home.notes() == [*held, "Second before", "Second holds", "Second after"]
    assert names.count("task.finished") == 2
    if not restart:
        assert "store.back" in names and home.log().count('"store.waits"') < 5
    reports = [p.name for p in (home.home / "reports").glob("*/*/*") if p.is_dir()]
    assert len(reports) == 2
