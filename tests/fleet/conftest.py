"""Real daemons as processes, one PostgreSQL, one board; and a handler of somebody else's that leaves a trace
of all that it does."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from daemon import service
from daemon.board import NotionBoard
from daemon.board.setup import create_tasks_database
from daemon.core.status import Status
from daemon.core.task import Draft
from daemon.local_board import DEFAULT_ROOT_PAGE, BoardConfig
from daemon.local_board.server import BoardServer
from daemon.session import Session
from daemon.settings.load import load
from daemon.settings.model import BoardSettings
from daemon.store.hosts import Host, Hosts
from daemon.testing import QuietLog
from tests.postgres import NoPostgres, Server
from tests.postgres import server as postgres_server

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "ntn_for_tests_only_0123456789"

TRACER = """
import os, time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from daemon.sdk import Done, Gate, handler

TRACE = Path(os.environ["TRACE"]) if "TRACE" in os.environ else None

@dataclass(frozen=True)
class Params:
    pass

def say(word, ctx):
    # O_APPEND: whole lines, also of several processes.
    with TRACE.open("a") as out:
        out.write(f"{word} {os.environ['HANDOFFD_HOST__NAME']} {ctx.run.id}\\n")
    return word

def long(ctx):
    say("two-begins", ctx)
    while not (TRACE.parent / "go").exists():
        if ctx.cancelled:
            break
        time.sleep(0.02)
    return say("two-ends", ctx)

@handler
class Tracer:
    name: ClassVar[str] = "tracer"
    Params = Params
    gates = (Gate(name="traced", title="It left its trace"),)
    takeover = "resume"

    def run(self, task, params, ctx):
        ctx.step("one", say, "one", ctx)
        ctx.step("two", long, ctx)
        ctx.step("three", say, "three", ctx)
        if os.environ.get("CODE") == "2":
            ctx.step("four", say, "four", ctx)
        ctx.evidence("traced", "file", "trace", TRACE.exists())
        return Done(summary="Traced.")

@handler
class Careful(Tracer):
    name: ClassVar[str] = "careful"
    takeover = "anew"
"""

AS_VERSION = """
import os
import daemon
daemon.__version__ = os.environ.get("AS_VERSION", daemon.__version__)
"""
"""Python reads it before anything else: a daemon of another version, as far as the version says."""


class Fleet:
    """The daemons of one test. ``env`` is common to all of them."""

    def __init__(self, root: Path, postgres: str, server: BoardServer, database: str) -> None:
        self.root = root
        self.server = server
        self.trace = root / "trace"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        site = root / "site"
        info = site / "tracer-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "tracer.py").write_text(TRACER)
        (site / "sitecustomize.py").write_text(AS_VERSION)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tracer\nVersion: 1.0\n")
        points = "tracer = tracer:Tracer\ncareful = tracer:Careful\n"
        (info / "entry_points.txt").write_text(f"[handoffd.handlers]\n{points}")
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
            "TRACE": str(self.trace),
            "NOTION_TOKEN": TOKEN,
            "HANDOFFD_BOARD__BASE_URL": server.url,
            "HANDOFFD_BOARD__DATABASE_ID": database,
            "HANDOFFD_BOARD__RATE_LIMIT": "6000",
            "HANDOFFD_STORE__URL": postgres,
            "HANDOFFD_POLL__INTERVAL": "1",
            "HANDOFFD_POLL__JITTER": "0",
            "HANDOFFD_WEB__ENABLED": "false",
            "HANDOFFD_LOG__FORMAT": "json",
        }
        self.short: Session

    def start(self, name: str, **more: str) -> subprocess.Popen[bytes]:
        """A daemon called ``name``, also again; ``more``: settings as HANDOFFD_ variables."""
        if name in self.processes:
            self.processes[name].wait(30)
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "daemon", "--home", str(self.root / name), "run"],
                env={**self.env, "HANDOFFD_HOST__NAME": name, **more},
                stdout=log,
                stderr=log,
            )
        return self.processes[name]

    def log(self, name: str) -> Path:
        return self.root / f"{name}.log"

    def said(self, name: str, event: str) -> int:
        """How often the host logged ``event``."""
        return self.log(name).read_text().count(f'"{event}"')

    def add(self, handler: str = "tracer", **fields: Any) -> str:
        return self.short.board.create(Draft(title=f"a task for {handler}", handler=handler, **fields)).id

    def lines(self) -> list[list[str]]:
        """[word, host, run] of everything that a step did."""
        return [line.split() for line in self.trace.read_text().splitlines()] if self.trace.exists() else []

    def working(self, task: str) -> str:
        """The host in whose long step the task's newest attempt is; "" = none yet."""
        run = self.short.store.latest_runs([task]).get(task)
        return run.host if run is not None and ["two-begins", run.host, run.run] in self.lines() else ""

    def judge(self, *names: str) -> None:
        """Wait until the hosts have been there for a lease: only then do they judge others."""
        for name in names:
            self.until(
                lambda: (h := self.host(name)) is not None and h.seen - h.joined > h.lease + 0.5,  # noqa: B023
                f"{name} has been there for a lease",
            )

    def go(self) -> None:
        """The long steps may end."""
        (self.root / "go").touch()

    def host(self, name: str) -> Host | None:
        return next((h for h in self.hosts.all() if h.name == name), None)

    def until(self, done: Callable[[], object], what: str, within: float = 60.0) -> float:
        """Seconds until ``done``."""
        began = time.monotonic()
        while not done():
            if time.monotonic() - began > within:
                tails = "\n".join(f"{n}: {self.log(n).read_text()[-1500:]}" for n in self.processes)
                raise AssertionError(f"{what}: not within {within:g} s\n{self.lines()}\n{tails}")
            time.sleep(0.05)
        return time.monotonic() - began

    def ends(self, task: str, status: Status = Status.COMPLETED) -> None:
        """Wait until the page says so and no attempt is open any more."""
        self.until(lambda: self.short.board.get(task).status is status, f"the task is {status}")
        self.until(lambda: self.short.store.runs(task=task)[0].state.final, "its last attempt is closed")

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(30)

    @contextmanager
    def desk(self) -> Iterator[None]:
        """Store and board for the test's own eyes."""
        with service.session(load(home=self.root / "cli", env=self.env)) as self.short:
            self.hosts = Hosts(self.short.store.engine)
            yield


@pytest.fixture
def own_database(postgres: str) -> Iterator[str]:
    """An empty database of the test's own on the server."""
    server = sa.create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    name = f"test_{time.monotonic_ns()}"
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield postgres.rsplit("/", 1)[0] + f"/{name}"
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def around(tmp_path: Path, postgres: str) -> Iterator[Fleet]:
    """A fleet without a host yet, its board in ``tmp_path``, its store on ``postgres``."""
    with BoardServer(BoardConfig(db=tmp_path / "board.db", token=TOKEN)) as server:
        settings = BoardSettings(base_url=server.url)
        board = NotionBoard(settings, TOKEN, clock=time.time, stop=threading.Event(), log=QuietLog())
        database, _ = create_tasks_database(board.transport, DEFAULT_ROOT_PAGE)
        board.close()
        made = Fleet(tmp_path, postgres, server, database)
        try:
            with made.desk():
                yield made
        finally:
            made.stop()


@pytest.fixture
def fleet(tmp_path: Path, own_database: str) -> Iterator[Fleet]:
    with around(tmp_path, own_database) as made:
        yield made


@pytest.fixture
def on_own_server(tmp_path: Path) -> Iterator[tuple[Fleet, Server]]:
    """A fleet whose PostgreSQL a test may stop and start; ``postgres`` is everybody's."""
    try:
        with postgres_server() as server, around(tmp_path, server.url) as made:
            yield made, server
    except NoPostgres as none:
        if os.environ.get("HANDOFFD_REQUIRE_POSTGRES") == "1":
            pytest.fail(f"PostgreSQL is required here: {none}")
        pytest.skip(str(none))
