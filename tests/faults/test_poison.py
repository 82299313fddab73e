"""A task whose handler brings the daemon down each time: it is parked, and the others go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemon import service
from daemon.core.status import RunState, Status
from daemon.core.task import Draft
from daemon.settings.load import load

ROOT = Path(__file__).resolve().parents[2]
DIED = 13

HANDLER = """
import os
from dataclasses import dataclass

from daemon.sdk import Done, Gate, handler


@dataclass(frozen=True)
class Params:
    pass


def begin():
    return "begun"


def die():
    os._exit(13)


@handler
class Killer:
    name = "killer"
    Params = Params
    gates = (Gate(name="never", title="It is never reached"),)

    def run(self, task, params, ctx):
        ctx.step("begin", begin)
        ctx.step("boom", die)
        return Done(summary="never")
"""


def install(folder: Path) -> None:
    """A third party's handler as pip would install it."""
    folder.mkdir()
    (folder / "killer_handler.py").write_text(HANDLER)
    info = folder / "killer_handler-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: killer-handler\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[handoffd.handlers]\nkiller = killer_handler:Killer\n")


@pytest.mark.timeout(300)
def test_a_task_that_kills_the_daemon_is_parked_and_the_others_go_on(tmp_path: Path) -> None:
    install(tmp_path / "site")
    home = tmp_path / "home"
    home.mkdir()
    (home / "handoffd.toml").write_text("[run]\ncrashes = 2\nlease = 900.0\n")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}"}
    loaded = load(home=home, env=env)
    with service.session(loaded) as short:
        bad = short.board.create(Draft(title="Boom", handler="killer")).id
        good = short.board.create(Draft(title="Digest", handler="report", parameters='since = "1d"')).id
    argv = [sys.executable, "-m", "daemon", "--home", str(home), "run", "--once", "--no-web"]
    lives = []
    with (tmp_path / "log").open("wb") as log:
        while not lives or lives[-1] == DIED:
            lives.append(
                subprocess.run(argv, env=env, cwd=home, stdout=log, stderr=log, timeout=100).returncode
            )
            assert len(lives) < 6, (tmp_path / "log").read_text()[-4000:]
    told = (tmp_path / "log").read_text()[-4000:]
    # The first death came after a finished step, so the count begins with the second.
    assert lives == [DIED, DIED, DIED, 1], told
    with service.session(loaded) as short:
        page, other = short.board.get(bad), short.board.get(good)
        (run,) = short.store.runs(task=bad)
        names = [e.name for e in short.store.events(task=bad)]
    assert page.status is Status.FAILED and run.state is RunState.FAILED, told
    assert "the daemon died again and again over it, in the step “boom”" in page.why
    assert page.claim is not None and page.claim.lease_until_ms == 0
    assert (Path(run.report) / "report.md").is_file()
    assert names.count("task.parked") == 1 and names.count("task.finished") == 1
    assert other.status is Status.COMPLETED, f"the other task is held back: {other.why} {told}"
