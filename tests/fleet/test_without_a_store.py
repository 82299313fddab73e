"""Real daemons that share a real board over HTTP and no store: each task is run once (docs/claims.md)."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from daemon.board import NotionBoard
from daemon.board.setup import create_tasks_database
from daemon.core.status import RunState, Status
from daemon.core.task import Draft
from daemon.local_board import DEFAULT_ROOT_PAGE, BoardConfig
from daemon.local_board.server import BoardServer
from daemon.settings.load import load
from daemon.settings.model import BoardSettings
from daemon.testing import QuietLog
from daemon.wiring import open_store

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "ntn_for_tests_only_0123456789"
BEGAN = frozenset(RunState) - {RunState.CLAIMING, RunState.RELEASED}

SLOW = {"kind": "delay", "method": "PATCH", "path": "pages/", "delay": 0.4, "probability": 0.5}
LOST = {"kind": "cut", "method": "PATCH", "path": "pages/", "when": "after", "probability": 0.10}
REFUSED = {"kind": "error", "method": "PATCH", "path": "pages/", "status": 503, "probability": 0.05}
LATE = {"kind": "delay", "method": "PATCH", "path": "pages/", "delay": 6.0, "probability": 0.05}
"""Longer than settle: the daemon has given the write up, the board applies it all the same."""


@dataclass
class Found:
    runs: Counter[int] = field(default_factory=Counter)
    """How many runs began of a task → tasks."""
    overlapping: list[str] = field(default_factory=list)
    released: Counter[str] = field(default_factory=Counter)
    """Reason of a claim given back, in a word → how often."""
    by: set[str] = field(default_factory=set)


@contextmanager
def daemons(folder: Path, names: list[str], env: dict[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    with (folder / "log").open("ab") as log:
        made = [
            subprocess.Popen(
                [sys.executable, "-m", "daemon", "--home", str(folder / name), "run"],
                env={**env, "HANDOFFD_HOST__NAME": name},
                stdout=log,
                stderr=log,
            )
            for name in names
        ]
    try:
        yield made
    finally:
        for one in made:
            one.send_signal(signal.SIGTERM)
        for one in made:
            one.wait(60)


def trial(folder: Path, *, hosts: int, tasks: int, faults: list[dict[str, object]], within: float) -> Found:
    """``tasks`` tasks become Ready at once before ``hosts`` daemons; what their stores say afterwards."""
    names = [f"host{n}" for n in range(hosts)]
    with BoardServer(BoardConfig(db=folder / "board.db", token=TOKEN)) as server:
        board = NotionBoard(
            BoardSettings(base_url=server.url, rate_limit=60_000),
            TOKEN,
            clock=time.time,
            stop=threading.Event(),
            log=QuietLog(),
        )
        database, source = create_tasks_database(board.transport, DEFAULT_ROOT_PAGE)
        board.close()
        settings = BoardSettings(
            base_url=server.url, database_id=database, data_source_id=source, rate_limit=60_000
        )
        board = NotionBoard(settings, TOKEN, clock=time.time, stop=threading.Event(), log=QuietLog())
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "NOTION_TOKEN": TOKEN,
            "HANDOFFD_BOARD__BASE_URL": server.url,
            "HANDOFFD_BOARD__DATABASE_ID": database,
            "HANDOFFD_BOARD__RATE_LIMIT": "60000",
            "HANDOFFD_CLAIM__MODE": "verify",
            "HANDOFFD_CLAIM__SETTLE": "3",
            "HANDOFFD_CLAIM__CALL_TIMEOUT": "2",
            "HANDOFFD_RUN__LEASE": "20",
            "HANDOFFD_RUN__CONCURRENCY": "25",
            "HANDOFFD_POLL__INTERVAL": "1",
            "HANDOFFD_POLL__JITTER": "0",
            "HANDOFFD_WEB__ENABLED": "false",
        }
        with daemons(folder, names, env):
            began = time.monotonic()
            while not all((folder / n / "state.db").exists() for n in names):
                assert time.monotonic() - began < 60, (folder / "log").read_text()[-2000:]
                time.sleep(0.2)
            ids = [board.create(Draft(title=f"task {n}", handler="report")).id for n in range(tasks)]
            headers = {"Authorization": f"Bearer {TOKEN}"}
            for seed, rule in enumerate(faults):
                body = {"count": None, "seed": seed, **rule}
                answer = httpx.post(
                    f"{server.url}/_board/faults", json=body, headers=headers, trust_env=False
                )
                answer.raise_for_status()
            began = time.monotonic()
            while any(t.status is not Status.COMPLETED for t in board.list() if t.id in ids):
                assert time.monotonic() - began < within, (folder / "log").read_text()[-3000:]
                time.sleep(1.0)
        board.close()
    return read(folder, names, ids, env)


def read(folder: Path, names: list[str], ids: list[str], env: dict[str, str]) -> Found:
    found = Found()
    worked: dict[str, list[tuple[float, float]]] = {i: [] for i in ids}
    for name in names:
        with closing(open_store(load(home=folder / name, env=env))) as store:
            for run in (r for i in ids for r in store.runs(task=i)):
                if run.state is RunState.RELEASED:
                    found.released[_word(run.why)] += 1
                elif run.state in BEGAN:
                    proved = next(e.at for e in store.events(run=run.run) if e.name == "task.claimed")
                    worked[run.task].append((proved, run.ended or float("inf")))
                    found.by.add(name)
    for task, spans in worked.items():
        found.runs[len(spans)] += 1
        if any(end > start for (_, end), (start, _) in itertools.pairwise(sorted(spans))):
            found.overlapping.append(task)
    return found


def _word(why: str) -> str:
    for part in ("another daemon was later", "not Ready any more", "in time", "does not stand"):
        if part in why:
            return part
    return why[:60]


@pytest.mark.timeout(400)
def test_two_daemons_run_a_dozen_tasks_once_each(tmp_path: Path) -> None:
    found = trial(tmp_path, hosts=2, tasks=12, faults=[SLOW], within=300.0)
    assert not found.overlapping
    assert found.runs == {1: 12}, found


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("hosts", [2, 4])
def test_100_tasks_before_real_daemons_on_a_bad_day(tmp_path: Path, hosts: int) -> None:
    found = trial(tmp_path, hosts=hosts, tasks=100, faults=[SLOW, LOST, REFUSED, LATE], within=900.0)
    print(hosts, found)
    assert not found.overlapping
    assert found.runs == {1: 100}
    assert found.released["another daemon was later"] > 0, "they raced"
