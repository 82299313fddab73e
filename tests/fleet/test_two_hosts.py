"""Two daemons on one PostgreSQL store and one board: each task is done once, by whoever claimed it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from daemon import service
from daemon.board import NotionBoard
from daemon.board.setup import create_tasks_database
from daemon.core.status import RunState, Status
from daemon.core.task import Draft
from daemon.local_board import DEFAULT_ROOT_PAGE, BoardConfig
from daemon.local_board.server import BoardServer
from daemon.settings.load import load
from daemon.settings.model import BoardSettings
from daemon.testing import QuietLog

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "ntn_for_tests_only_0123456789"
TASKS = 12


def test_every_task_is_done_once_by_one_of_two_hosts(tmp_path: Path, postgres: str) -> None:
    with BoardServer(BoardConfig(db=tmp_path / "board.db", token=TOKEN)) as server:
        board = NotionBoard(
            BoardSettings(base_url=server.url), TOKEN, clock=time.time, stop=threading.Event(), log=QuietLog()
        )
        database, _ = create_tasks_database(board.transport, DEFAULT_ROOT_PAGE)
        board.close()
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "NOTION_TOKEN": TOKEN,
            "HANDOFFD_BOARD__BASE_URL": server.url,
            "HANDOFFD_BOARD__DATABASE_ID": database,
            "HANDOFFD_BOARD__RATE_LIMIT": "6000",
            "HANDOFFD_STORE__URL": postgres,
            "HANDOFFD_POLL__INTERVAL": "1",
            "HANDOFFD_POLL__JITTER": "0",
            "HANDOFFD_WEB__ENABLED": "false",
        }
        with service.session(load(home=tmp_path / "cli", env=env)) as short:
            ids = [short.board.create(Draft(title=f"task {n}", handler="report")).id for n in range(TASKS)]
        with (tmp_path / "log").open("ab") as log:
            hosts = [
                subprocess.Popen(
                    [sys.executable, "-m", "daemon", "--home", str(tmp_path / name), "run"],
                    env={**env, "HANDOFFD_HOST__NAME": name},
                    stdout=log,
                    stderr=log,
                )
                for name in ("one", "two")
            ]
        try:
            with service.session(load(home=tmp_path / "cli", env=env)) as short:
                end = time.monotonic() + 60
                while any(short.board.get(i).status is not Status.COMPLETED for i in ids):
                    assert time.monotonic() < end, (tmp_path / "log").read_text()[-3000:]
                    time.sleep(0.5)
                runs = [r for i in ids for r in short.store.runs(task=i)]
        finally:
            for host in hosts:
                host.terminate()
            codes = [host.wait(30) for host in hosts]
    assert codes == [0, 0]
    assert len(runs) == TASKS, "one attempt each"
    assert {r.state for r in runs} == {RunState.COMPLETED}
    assert {r.host for r in runs} == {"one", "two"}, "both had a share"
