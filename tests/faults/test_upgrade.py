"""A run in flight while its handler is replaced by a version with other steps: the real daemon, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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


def note(home, text):
    with (home / "notes").open("a") as out:
        out.write(text + "\\n")


def hold(home):
    note(home, "holds")
    while not (home / "go").exists():
        time.sleep(0.02)


@handler
class Mover:
    name = "mover"
    Params = Params
    gates = (Gate(name="done", title="It is done"),)

    def run(self, task, params, ctx):
        for name in {steps!r}:
            ctx.step(name, note, ctx.home, name)
        ctx.step("hold", hold, ctx.home)
        ctx.evidence("done", "check", "x", True)
        return Done(summary="Moved.")
"""


class Site:
    """A home folder, a daemon, and a handler of a third party that is installed anew."""

    def __init__(self, root: Path, attempts: int) -> None:
        self.site, self.home = root / "site", root / "home"
        self.home.mkdir()
        (self.home / "handoffd.toml").write_text(f"[run]\nattempts = {attempts}\nbackoff = 0.1\n")
        info = self.site / "mover_handler-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mover-handler\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[handoffd.handlers]\nmover = mover_handler:Mover\n")
        self.env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{self.site}{os.pathsep}{ROOT}"}
        self.loaded = load(home=self.home, env=self.env)

    def install(self, *steps: str) -> None:
        (self.site / "mover_handler.py").write_text(HANDLER.replace("{steps!r}", repr(steps)))

    def notes(self) -> list[str]:
        file = self.home / "notes"
        return file.read_text().split() if file.exists() else []

    def start(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-B", "-m", "daemon", "--home", str(self.home), "run", "--once", "--no-web"]
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(argv, env=self.env, cwd=self.home, stdout=log, stderr=log)

    def kill_while_it_holds(self, times: int) -> None:
        """One life of the daemon, killed when "holds" was written for the ``times``-th time."""
        daemon = self.start()
        end = time.monotonic() + 60.0
        while self.notes().count("holds") < times:
            assert daemon.poll() is None and time.monotonic() < end, (self.home / "log").read_text()[-3000:]
            time.sleep(0.02)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()


@pytest.mark.timeout(200)
def test_a_run_whose_steps_an_upgrade_changed_starts_as_a_new_attempt(tmp_path: Path) -> None:
    site = Site(tmp_path, attempts=3)
    site.install("fetch", "store")
    with service.session(site.loaded) as short:
        task = short.board.create(Draft(title="Move", handler="mover")).id
    site.kill_while_it_holds(1)
    site.install("fetch", "check", "store")
    (site.home / "go").touch()
    assert site.start().wait(60) == 0, (site.home / "log").read_text()[-3000:]
    assert site.notes() == ["fetch", "store", "holds", "fetch", "check", "store", "holds"]
    with service.session(site.loaded) as short:
        page = short.board.get(task)
        new, old = short.store.runs(task=task)
        events = [e for e in short.store.events(task=task) if e.name == "task.outdated"]
        assert not short.store.active_runs()
    assert page.status is Status.COMPLETED and page.attempts == 2
    assert (old.state, old.attempt, old.run) == (RunState.RETRYING, 1, f"{task}.g1")
    assert (new.state, new.attempt, new.run) == (RunState.COMPLETED, 2, f"{task}.g2")
    reason = "the step “store” is on record where the code asks for “check” now"
    assert [e.data["reason"] for e in events] == [reason]
    assert f"an upgrade changed its steps: {reason}" in old.why


@pytest.mark.timeout(200)
def test_changes_without_end_are_capped_by_the_attempts(tmp_path: Path) -> None:
    """A handler that asks for other steps at each start (it draws them, say) can't go on for ever."""
    site = Site(tmp_path, attempts=2)
    with service.session(site.loaded) as short:
        task = short.board.create(Draft(title="Move", handler="mover")).id
    for life in (1, 2):
        site.install(f"life{life}")
        site.kill_while_it_holds(life)
    site.install("life3")
    assert site.start().wait(60) == 1, (site.home / "log").read_text()[-3000:]
    with service.session(site.loaded) as short:
        page = short.board.get(task)
        states = [r.state for r in short.store.runs(task=task)]
    assert states == [RunState.FAILED, RunState.RETRYING]
    assert page.status is Status.FAILED
    assert page.why.startswith("gave up after 2 attempts: an upgrade changed its steps: ")
