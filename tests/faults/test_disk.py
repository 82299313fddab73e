"""A disk that is full, and one that can't be written: real file systems, the real daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon import service, tour
from daemon.core.status import Status
from daemon.core.task import Draft, Task
from daemon.settings.load import load

ROOT = Path(__file__).resolve().parents[2]
Mount = Callable[[Path, str], None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts a tmpfs: (folder, options); gone afterwards."""
    made: list[Path] = []

    def tmpfs(folder: Path, options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
        )
        if done.returncode != 0:
            pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.decode().strip()}")
        made.append(folder)

    yield tmpfs
    for folder in reversed(made):
        subprocess.run(["umount", "-l", str(folder)], check=True)


def run(home: Path, draft: Draft, settings: str) -> Task:
    """One task through the daemon; the page afterwards."""
    home.mkdir(exist_ok=True)
    (home / "handoffd.toml").write_text(settings)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    loaded = load(home=home, env=env)
    with service.session(loaded) as short:
        task = short.board.create(draft).id
    argv = [sys.executable, "-m", "daemon", "--home", str(home), "run", "--once", "--no-web"]
    ended = subprocess.run(argv, env=env, cwd=home, capture_output=True, timeout=100)
    assert ended.returncode in (0, 1), ended.stderr.decode()[-3000:]
    with service.session(loaded) as short:
        assert not short.store.active_runs(), "nothing is left open"
        return short.board.get(task)


def test_no_room_for_the_report_is_said_on_the_page(tmp_path: Path, mount: Mount) -> None:
    reports = tmp_path / "reports"
    mount(reports, "size=64k,mode=0700")
    (reports / "filler").write_bytes(b"x" * (64 << 10))
    page = run(
        tmp_path / "home",
        Draft(title="Digest", handler="report", parameters='since = "1d"'),
        f'[reports]\nfolder = "{reports}"\n',
    )
    assert page.status is Status.REVIEW, (page.status_name, page.why)
    assert "the report could not be written" in page.why and "No space left" in page.why
    assert page.claim is not None and page.claim.lease_until_ms == 0
    (reports / "filler").unlink()
    assert not [p for p in reports.rglob("report.*") if p.stat().st_size == 0], "nothing half stands there"


def test_a_library_that_cannot_be_written_blocks_and_says_so(tmp_path: Path, mount: Mount) -> None:
    library = tmp_path / "library"
    mount(library, "size=64m,ro")
    world = tour.Tour(tmp_path / "tune")
    (tmp_path / "tune").mkdir()
    url = world.serve()
    try:
        page = run(
            tmp_path / "home",
            Draft(title="Sync it", handler="music-sync", url=url),
            f'[music]\nallow_hosts = ["127.0.0.1"]\noutput = "{library}"\nmin_free = 0\n',
        )
    finally:
        world.close()
    assert page.status is Status.BLOCKED, (page.status_name, page.why)
    assert str(library) in page.why
    assert list(library.iterdir()) == []


def test_an_inbox_that_cannot_be_written_blocks_and_says_so(tmp_path: Path, mount: Mount) -> None:
    inbox = tmp_path / "inbox"
    mount(inbox, "size=1m,ro,mode=0700")
    page = run(
        tmp_path / "home",
        Draft(title="Greet", handler="handoff", agent="Scribe", acceptance=("AC1 it greets",)),
        f'[agents.scribe]\nnames = ["Scribe"]\ninbox = "{inbox}"\n[run]\nbackoff = 0.1\nbackoff_max = 0.1\n',
    )
    assert page.status in (Status.BLOCKED, Status.FAILED), (page.status_name, page.why)
    assert str(inbox) in page.why or "Read-only" in page.why, page.why
    assert page.claim is not None and page.claim.lease_until_ms == 0
    assert list(inbox.iterdir()) == []


def test_a_reports_folder_that_cannot_be_written_is_said_on_the_page(tmp_path: Path, mount: Mount) -> None:
    reports = tmp_path / "reports"
    mount(reports, "size=1m,ro,mode=0700")
    page = run(
        tmp_path / "home",
        Draft(title="Digest", handler="report", parameters='since = "1d"'),
        f'[reports]\nfolder = "{reports}"\n',
    )
    assert page.status is Status.REVIEW, (page.status_name, page.why)
    assert "the report could not be written" in page.why and "Read-only" in page.why
    assert list(reports.iterdir()) == []
