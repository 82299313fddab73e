"""A fleet: 1, 2 and 4 hosts on one PostgreSQL, up to the board's limit; what a host costs the store

The work of a task is waiting, so that the number of hosts counts and not this machine's cores. The board's
limit is Notion's 600 calls a minute (180 on smaller plans: the first host uses them up alone); its window of
60 s, and the client's, are shortened alike, so that a measurement lasts some windows and not some minutes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.table import Row
from daemon import service
from daemon.board import NotionBoard, budget
from daemon.board.setup import create_tasks_database
from daemon.core.claim import Claim
from daemon.core.ports import PageWrite
from daemon.core.status import RunState, Status
from daemon.core.task import Draft
from daemon.local_board import DEFAULT_ROOT_PAGE, BoardConfig, rate_limit
from daemon.local_board.server import BoardServer
from daemon.settings.load import load
from daemon.settings.model import BoardSettings
from daemon.store.hosts import Hosts
from daemon.testing import QuietLog
from tests.postgres import server as postgres_server

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "ntn_for_benches_only_0123456789"
FLEETS = (1, 2, 4)
LIMIT_A_MINUTE = 600
WINDOW_S = 10.0
LIMIT = round(LIMIT_A_MINUTE * WINDOW_S / 60.0)
CLIENT_WINDOW_S = WINDOW_S * 61.0 / 60.0
PLACES = 2
WORK_S = 3.0
TASKS = 240
MEASURED_S = 30.0
IDLE_S = 10.0

WAITER = f"""
import time
from dataclasses import dataclass
from typing import ClassVar
from daemon.sdk import Done, Gate, handler

@dataclass(frozen=True)
class Params:
    pass

@handler
class Waiter:
    name: ClassVar[str] = "waiter"
    Params = Params
    gates = (Gate(name="waited", title="It has waited"),)

    def run(self, task, params, ctx):
        began = time.monotonic()
        ctx.step("wait", time.sleep, {WORK_S})
        ctx.evidence("waited", "wait", "wait", True, {{"seconds": time.monotonic() - began}})
        return Done(summary="Waited.")
"""

HOST = f"""
import sys
from daemon.board import budget
budget.WINDOW_S = {CLIENT_WINDOW_S}
from daemon.cli import main
sys.exit(main())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One fleet at work."""

    tasks_a_minute: float
    calls_a_task: float
    refused: int
    connections: float
    """Of one host, the most at once."""
    transactions: float
    """A second, of all hosts."""


@dataclass(slots=True)
class Watched:
    """A board with the limit: what it let through and what it refused with 429."""

    server: BoardServer
    taken: int = 0
    refused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def limit(self) -> None:
        """From here on the limit holds and calls are counted."""
        window = self.server.app.state.board.rate
        window.limit, spend = LIMIT, window.spend

        def counted(now_ms: int) -> None:
            try:
                spend(now_ms)
            except Exception:
                with self._lock:
                    self.refused += 1
                raise
            with self._lock:
                self.taken += 1

        window.spend = counted


class Daemons:
    """Daemons of one measurement and what they share."""

    def __init__(self, folder: Path, board: BoardServer, database: str, store: str) -> None:
        self._folder = folder
        site = folder / "site"
        info = site / "waiter-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "waiter.py").write_text(WAITER)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: waiter\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[handoffd.handlers]\nwaiter = waiter:Waiter\n")
        (folder / "host.py").write_text(HOST)
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
            "NOTION_TOKEN": TOKEN,
            "HANDOFFD_BOARD__BASE_URL": board.url,
            "HANDOFFD_BOARD__DATABASE_ID": database,
            "HANDOFFD_BOARD__RATE_LIMIT": str(LIMIT),
            "HANDOFFD_STORE__URL": store,
            "HANDOFFD_RUN__CONCURRENCY": str(PLACES),
            "HANDOFFD_WEB__ENABLED": "false",
            "HANDOFFD_LOG__LEVEL": "warning",
        }

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        """``count`` hosts, ended at the end."""
        names = [f"host{n}" for n in range(count)]
        with (self._folder / "log").open("wb") as log:
            made = [
                subprocess.Popen(
                    [
                        sys.executable,
                        str(self._folder / "host.py"),
                        "--home",
                        str(self._folder / name),
                        "run",
                    ],
                    env={**self.env, "HANDOFFD_HOST__NAME": name},
                    stdout=log,
                    stderr=log,
                )
                for name in names
            ]
        try:
            yield
        finally:
            for one in made:
                one.send_signal(signal.SIGKILL)
                one.wait()

    def log(self) -> str:
        """The end of what the hosts said."""
        return (self._folder / "log").read_text()[-2000:]


def new_board(server: BoardServer) -> str:
    """The id of a new tasks database."""
    settings = BoardSettings(base_url=server.url, rate_limit=60_000)
    board = NotionBoard(settings, TOKEN, clock=time.time, stop=threading.Event(), log=QuietLog())
    database, _ = create_tasks_database(board.transport, DEFAULT_ROOT_PAGE)
    board.close()
    return database


def fleet(folder: Path, postgres: str, count: int) -> Measured:
    """``count`` hosts at work for MEASURED_S."""
    with BoardServer(BoardConfig(db=folder / "board.db", token=TOKEN)) as server:
        hosts = Daemons(folder, server, new_board(server), _database(postgres, f"fleet{count}"))
        watched = Watched(server)
        unlimited = {**hosts.env, "HANDOFFD_BOARD__RATE_LIMIT": "60000"}
        with service.session(load(home=folder / "cli", env=unlimited)) as desk:
            ids = [desk.board.create(Draft(title=f"task {n}", handler="waiter")).id for n in range(TASKS)]
            watched.limit()
            store = desk.store
            with hosts.running(count):
                _until(lambda: len(_done(store)) == count, hosts, "each host has ended a task")
                began, calls, work = time.time(), watched.taken, _transactions(store)
                connections = looks = 0
                while time.time() < began + MEASURED_S:
                    connections, looks = max(connections, _connections(store)), looks + 1
                    time.sleep(0.5)
                ended = [r for r in store.runs() if r.ended and began <= r.ended < began + MEASURED_S]
                calls, work = watched.taken - calls, _transactions(store) - work - looks
                assert {r.state for r in ended} == {RunState.COMPLETED}, hosts.log()
                assert len(store.runs()) < len(ids), "there was always something to do"
    return Measured(
        tasks_a_minute=len(ended) * 60.0 / MEASURED_S,
        calls_a_task=calls / len(ended),
        refused=watched.refused,
        connections=connections / count,
        transactions=work / MEASURED_S,
    )


def idle(folder: Path, postgres: str, count: int) -> float:
    """Transactions a second of one of ``count`` hosts that have nothing to do."""
    with BoardServer(BoardConfig(db=folder / "board.db", token=TOKEN)) as server:
        hosts = Daemons(folder, server, new_board(server), _database(postgres, "idle"))
        with service.session(load(home=folder / "cli", env=hosts.env)) as desk:
            known = Hosts(desk.store.engine)
            with hosts.running(count):
                _until(lambda: sum(h.alive for h in known.all()) == count, hosts, "all have joined")
                time.sleep(5.0)  # the start is over
                before = _transactions(desk.store)
                time.sleep(IDLE_S)
                return (_transactions(desk.store) - before) / IDLE_S / count


def _database(postgres: str, name: str) -> str:
    """The URL of a new database on the server."""
    engine = sa.create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return postgres.rsplit("/", 1)[0] + f"/{name}"


def _done(store: Any) -> set[str]:
    return {r.host for r in store.runs(states=[RunState.COMPLETED])}


def _until(done: Any, hosts: Daemons, what: str) -> None:
    end = time.monotonic() + 60.0
    while not done():
        assert time.monotonic() < end, f"not within a minute: {what}\n{hosts.log()}"
        time.sleep(0.1)


def _transactions(store: Any) -> int:
    """Committed and rolled back in the store's database, as far as the server has counted."""
    with store.engine.connect() as c:
        said = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int(c.exec_driver_sql(said).scalar_one())


def _connections(store: Any) -> int:
    """Of all hosts: without this process's own."""
    with store.engine.connect() as c:
        said = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        return int(c.exec_driver_sql(said).scalar_one()) - int(store.engine.pool.checkedout())


def bare_loop(folder: Path) -> float:
    """Tasks a minute of a loop that only claims and finishes pages, within the same limit."""
    with BoardServer(BoardConfig(db=folder / "board.db", token=TOKEN)) as server:
        database, watched = new_board(server), Watched(server)
        settings = BoardSettings(base_url=server.url, database_id=database, rate_limit=LIMIT)
        open_settings = BoardSettings(base_url=server.url, database_id=database, rate_limit=60_000)
        made = NotionBoard(open_settings, TOKEN, clock=time.time, stop=threading.Event(), log=QuietLog())
        tasks = [made.create(Draft(title=f"task {n}", handler="waiter")) for n in range(TASKS)]
        made.close()
        board = NotionBoard(settings, TOKEN, clock=time.time, stop=threading.Event(), log=QuietLog())
        board.open()
        watched.limit()
        began, ended = time.monotonic(), 0
        for task in board.look()[: len(tasks)]:
            claim = Claim(owner="bench", generation=1, nonce="nonce", lease_until_ms=1)
            board.claim(task, claim, 1)
            board.write(task.id, claim, PageWrite(status=Status.COMPLETED))
            if time.monotonic() - began > MEASURED_S:
                break
            ended += 1
        board.close()
        assert watched.refused == 0
        return ended * 60.0 / MEASURED_S


def rows() -> list[Row]:
    """The table of this room."""
    rate_limit.WINDOW_MS = int(WINDOW_S * 1000)
    budget.WINDOW_S = CLIENT_WINDOW_S
    found: dict[int, Measured] = {}
    with postgres_server() as server, tempfile.TemporaryDirectory(prefix="handoffd-bench-") as made:
        for name in ("bare", "idle", *(str(n) for n in FLEETS)):
            (Path(made) / name).mkdir()
        bare = bare_loop(Path(made) / "bare")
        for count in FLEETS:
            found[count] = fleet(Path(made) / str(count), server.url, count)
        resting = idle(Path(made) / "idle", server.url, 2)
    return _table(found, bare, resting)


def _table(found: dict[int, Measured], bare: float, resting: float) -> list[Row]:
    one, most = found[FLEETS[0]], found[FLEETS[-1]]
    out: list[Row] = []
    for count, seen in found.items():
        s = "s" if count > 1 else ""
        ideal = PLACES * count * 60.0 / WORK_S
        limit = LIMIT_A_MINUTE / seen.calls_a_task
        reached = seen.tasks_a_minute / min(ideal, limit)
        out.append(
            {
                "name": f"{count} host{s}, {PLACES} places each, tasks of {WORK_S:g} s of waiting",
                "ours": seen.tasks_a_minute,
                "unit": "tasks/min",
                "peer": bare,
                "peer_name": f"a bare loop of claim and finish, {LIMIT_A_MINUTE} calls a minute",
                "floor": min(ideal, limit),
                "floor_name": "the waiting alone" if ideal < limit else "the board's limit by calls a task",
                "limit": "60 % of it",
                "held": reached >= 0.6,
                "note": f"{seen.calls_a_task:.1f} calls a task, looks included; {seen.refused} × 429",
            }
        )
    a_task = (most.transactions - FLEETS[-1] * resting) * 60.0 / most.tasks_a_minute
    grown = found[2].tasks_a_minute / one.tasks_a_minute
    out += [
        {
            "name": "two hosts beside one",
            "ours": grown,
            "unit": "×",
            "limit": "1.5 × at least",
            "held": grown >= 1.5,
        },
        {
            "name": "429 answers, all fleets",
            "ours": sum(m.refused for m in found.values()),
            "unit": "",
            "limit": "0",
            "held": not any(m.refused for m in found.values()),
        },
        {"name": "connections to the store, a host", "ours": most.connections, "unit": ""},
        {
            "name": "transactions of a host at rest",
            "ours": resting,
            "unit": "/s",
            "note": "pings of connections included",
        },
        {"name": "transactions for a task", "ours": a_task, "unit": ""},
    ]
    return out


if __name__ == "__main__":
    from benchmarks.table import show

    show(rows())
