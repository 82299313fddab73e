"""The daemon as a process: ready, reload, drain, one for a home, bad input, a board that goes away."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

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
from daemon.wiring import open_store

ROOT = Path(__file__).resolve().parents[2]
BASE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HANDOFFD_WEB__PORT": "0"}


class Daemon:
    """One daemon in a process of its own, with a notify socket that we listen on."""

    def __init__(self, home: Path, *more: str, env: dict[str, str] | None = None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._address = f"/tmp/hd-{os.getpid()}-{id(self)}"  # a Unix address has at most 108 bytes
        self._socket.bind(self._address)
        self._socket.settimeout(0.1)
        self.told: list[str] = []
        self.log = home / "daemon.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daemon", "--home", str(home), "run", *more],
                env={**BASE, "NOTIFY_SOCKET": self._address, **(env or {})},
                stdout=out,
                stderr=out,
            )

    def hears(self, word: str, within: float = 20.0) -> bool:
        end = time.monotonic() + within
        while not any(word in told for told in self.told):
            if time.monotonic() > end or (self.process.poll() is not None and not self._take()):
                return any(word in told for told in self.told)
            self._take()
        return True

    def _take(self) -> bool:
        try:
            self.told.append(self._socket.recv(4096).decode())
        except TimeoutError:
            return False
        return True

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def says(self, event: str, within: float = 20.0) -> dict:
        end = time.monotonic() + within
        while True:
            for line in self.events():
                if line.get("event") == event:
                    return line
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def end(self, number: int = signal.SIGTERM, within: float = 30.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(within)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._socket.close()
        Path(self._address).unlink(missing_ok=True)


@contextmanager
def daemon(home: Path, *more: str, env: dict[str, str] | None = None) -> Iterator[Daemon]:
    made = Daemon(home, *more, env=env)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def commands(home: Path, env: dict[str, str] | None = None) -> Iterator[service.Session]:
    with service.session(load(home=home, env={**BASE, **(env or {})})) as short:
        yield short


def until(done, within: float = 30.0) -> None:
    end = time.monotonic() + within
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


# ── life ──────────────────────────────────────────────────────────────────────────────────────────────


def test_ready_reload_and_drain_are_told_to_the_service_manager(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        assert one.hears("READY=1")
        allowed = next(t for t in one.told if t.startswith("EXTEND_TIMEOUT_USEC="))
        assert int(allowed.partition("=")[2]) > 120e6, "longer than a start waits for a board that is away"
        (tmp_path / "handoffd.toml").write_text("[poll]\ninterval = 7.0\n")
        one.process.send_signal(signal.SIGHUP)
        assert one.hears("RELOADING=1") and one.hears("STATUS=reloaded")
        assert one.says("config.reloaded")["keys"] == ["poll.interval"]
        assert one.end() == 0
        assert one.hears("STOPPING=1")
        assert one.says("daemon.stopped")["clean"] is True


def test_a_bad_reload_keeps_the_last_good_settings_and_is_told_everywhere(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        assert one.hears("READY=1")
        web = one.says("daemon.started")["web"]
        (tmp_path / "handoffd.toml").write_text("[poll]\nintervall = 7.0\n")
        failed = one.says("config.reload_failed")  # noticed without a signal, too
        assert "intervall" in failed["error"] and "interval" in failed["error"]
        from urllib.request import urlopen

        try:
            ready = urlopen(f"{web}/readyz", timeout=5).read()
        except OSError as error:
            ready = error.read()  # 503 with its reasons
        assert b"intervall" in ready
        (tmp_path / "handoffd.toml").write_text("[poll]\ninterval = 7.0\n")
        one.says("config.reloaded")
        assert one.end() == 0


def test_a_file_mended_while_its_mistake_is_being_told_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake is in the log before the daemon has finished with it: whoever reads it may be faster."""
    file = tmp_path / "handoffd.toml"
    loaded, registry = service.with_handlers(load(home=tmp_path, env=BASE))
    one = service.Service(loaded, registry, lock=service.HomeLock(loaded.paths.lock), web=False, once=False)
    with closing(open_store(loaded)) as one.store:
        tell = one.store.event

        def tell_and_be_read(name: str, **fields: Any) -> None:
            tell(name, **fields)
            file.write_text("[poll]\ninterval = 7.0\n")

        monkeypatch.setattr(one.store, "event", tell_and_be_read)
        file.write_text("[poll]\nintervall = 7.0\n")
        assert one.loaded.file_changed()
        one.reload()
        assert b"handoffd_config_last_reload_successful 0.0" in one.metrics.render()
        assert one.loaded.file_changed(), "the mended file would stay unread for ever"


def test_a_second_daemon_on_a_home_says_who_holds_it_and_exits_75(tmp_path: Path) -> None:
    with daemon(tmp_path, "--no-web") as one:
        assert one.hears("READY=1")
        other = subprocess.run(
            [sys.executable, "-m", "daemon", "--home", str(tmp_path), "run"],
            env=BASE,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert other.returncode == 75
        assert f"pid {one.process.pid}" in other.stderr and "hint:" in other.stderr


def test_an_unknown_setting_stops_the_start_with_78_and_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "handoffd.toml").write_text("[run]\nconcurency = 3\n")
    said = subprocess.run(
        [sys.executable, "-m", "daemon", "--home", str(tmp_path), "run"],
        env=BASE,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert said.returncode == 78
    assert "concurency" in said.stderr and "concurrency" in said.stderr and "handoffd.toml:2" in said.stderr


def test_a_person_at_a_terminal_is_told_where_the_dashboard_is(tmp_path: Path) -> None:
    here, there = pty.openpty()
    argv = [sys.executable, "-m", "daemon", "--home", str(tmp_path), "run", "--once"]
    env = {**BASE, "HANDOFFD_WEB__PORT": "0"}
    process = subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=there
    )
    try:
        assert process.wait(60) == 0
        told = os.read(here, 4096).decode()
    finally:
        os.close(here)
        os.close(there)
    assert re.search(r"^dashboard: http://127\.0\.0\.1:\d+ ", told, re.MULTILINE)


def test_a_status_document_is_brought_up_to_date_when_a_run_ends(tmp_path: Path) -> None:
    document = tmp_path / "docs" / "status.md"
    document.parent.mkdir()
    document.write_text("# Digests\n<!-- handoffd:begin digest -->\n<!-- handoffd:end digest -->\nMine.\n")
    with commands(tmp_path) as short:
        short.board.create(Draft(title="Of the week", handler="report"))
    with daemon(tmp_path, "--once", "--no-web") as one:
        assert one.process.wait(60) == 0
    text = document.read_text()
    assert "**Latest run:** Success" in text and "Of the week" in text
    assert text.startswith("# Digests\n") and text.endswith("-->\nMine.\n")


def test_a_task_added_by_a_command_is_looked_at_at_once(tmp_path: Path) -> None:
    slow = {"HANDOFFD_POLL__INTERVAL": "600"}
    with daemon(tmp_path, "--no-web", env=slow) as one:
        assert one.hears("READY=1")
        until(lambda: any(e.get("event") == "daemon.started" for e in one.events()))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "daemon",
                "--home",
                str(tmp_path),
                "task",
                "add",
                "Digest",
                "--handler",
                "report",
            ],
            env={**BASE, **slow},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr
        one.says("task.finished")
        assert one.end() == 0


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────────


class Source(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/text.mp3":
            body = b"This is a text and no audio at all. " * 500
            self.send_response(200)
            self.send_header("Content-Type", "audio/mpeg")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_error(404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def source() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Source)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_bad_input_is_told_on_the_page_and_in_why_and_the_daemon_lives_on(
    tmp_path: Path, source: str
) -> None:
    env = {"HANDOFFD_MUSIC__ALLOW_HOSTS": "127.0.0.1", "HANDOFFD_RUN__BACKOFF": "0.2"}
    wild = ("../../etc/passwd\u202egnp.\x07\n" * 600)[:10_000]
    wanted = {
        "unknown handler": (Draft(title="h", handler="musik"), Status.BLOCKED, "unknown handler “musik”"),
        "unknown agent": (
            Draft(title="a", handler="handoff", agent="Nobody", acceptance=("AC1 x",)),
            Status.BLOCKED,
            "Nobody",
        ),
        "404": (Draft(title="u", handler="music-sync", url=f"{source}/gone.mp3"), Status.FAILED, "404"),
        "text": (
            Draft(title="t", handler="music-sync", url=f"{source}/text.mp3"),
            Status.FAILED,
            "not audio",
        ),
        "private address": (
            Draft(title="p", handler="music-sync", url="http://10.0.0.1/a.mp3"),
            Status.BLOCKED,
            "10.0.0.1",
        ),
        "wild title": (Draft(title=wild, handler="report"), Status.COMPLETED, ""),
        "good": (Draft(title="good", handler="report"), Status.COMPLETED, ""),
    }
    with commands(tmp_path, env) as short:
        ids = {name: short.board.create(draft).id for name, (draft, _, _) in wanted.items()}
    before = sorted(p.name for p in tmp_path.parent.iterdir())
    with daemon(tmp_path, "--once", "--no-web", env=env) as one:
        one.process.wait(100)
    with commands(tmp_path, env) as short:
        pages = {name: short.board.get(task) for name, task in ids.items()}
        said = {name: short.store.decision(task) for name, task in ids.items()}
    for name, (_, status, words) in wanted.items():
        page = pages[name]
        assert page.status is status, (name, page.status_name, page.why, one.log.read_text()[-2000:])
        assert words.casefold() in page.why.casefold(), (name, page.why)
        assert said[name] is not None and words.casefold() in said[name].reason.casefold(), (name, said[name])
        assert not any(ord(c) < 32 or c in "\u202e" for c in page.why)
    assert sorted(p.name for p in tmp_path.parent.iterdir()) == before, "nothing is written outside"
    assert len(pages["wild title"].title) == 10_000
    assert not (tmp_path / "agents" / "nobody").exists()


# ── the board ─────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def board_process(db: Path, port: int, token: str) -> Iterator[str]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "daemon",
            "board",
            "serve",
            "--port",
            str(port),
            "--db",
            str(db),
            "--token",
            token,
        ],
        env=BASE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


TOKEN = "ntn_for_tests_only_0123456789"


def notion_like(url: str, database: str) -> dict[str, str]:
    return {
        "NOTION_TOKEN": TOKEN,
        "HANDOFFD_BOARD__BASE_URL": url,
        "HANDOFFD_BOARD__DATABASE_ID": database,
        "HANDOFFD_BOARD__RATE_LIMIT": "6000",
        "HANDOFFD_BOARD__GIVE_UP": "2",
        "HANDOFFD_POLL__INTERVAL": "1",
        "HANDOFFD_POLL__JITTER": "0",
    }


def make_database(url: str) -> str:
    board = NotionBoard(
        BoardSettings(base_url=url), TOKEN, clock=time.time, stop=threading.Event(), log=QuietLog()
    )
    database, _ = create_tasks_database(board.transport, DEFAULT_ROOT_PAGE)
    board.close()
    return database


def outage(tmp_path: Path, seconds: float) -> None:
    """The board goes away while a task runs, and comes back ``seconds`` later."""
    port, db = free_port(), tmp_path / "remote.db"
    slow = tmp_path / "site"
    slow.mkdir()
    (slow / "slow_handler.py").write_text(
        "from dataclasses import dataclass\nimport time\nfrom pathlib import Path\n"
        "from daemon.sdk import Done, Gate, handler\n\n"
        "@dataclass(frozen=True)\nclass Params:\n    out: str = ''\n\n"
        "def work(out):\n    with open(out, 'a') as f:\n        f.write('done\\n')\n"
        "    time.sleep(4)\n    return 1\n\n"
        "@handler\nclass Slow:\n    name, Params, gates = 'slow', Params, (Gate(name='g', title='G'),)\n"
        "    def run(self, task, params, ctx):\n        ctx.step('work', work, params.out)\n"
        "        ctx.evidence('g', 'check', 'x', True)\n        return Done(summary='Worked.')\n"
    )
    info = slow / "slow_handler-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-handler\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[handoffd.handlers]\nslow = slow_handler:Slow\n")
    effects = tmp_path / "effects"
    with board_process(db, port, TOKEN) as url:
        database = make_database(url)
        env = {**notion_like(url, database), "PYTHONPATH": f"{slow}{os.pathsep}{ROOT}"}
        plain = notion_like(url, database)
        with commands(tmp_path / "cli", plain) as short:
            ids = [
                short.board.create(Draft(title=n, handler="slow", parameters=f'out = "{effects}"')).id
                for n in ("one", "two", "three")
            ]
        running = Daemon(tmp_path / "home", env=env)
        assert running.hears("READY=1")
        running.says("task.claimed")
        time.sleep(1.0)
    try:
        running.says("board.unreachable", within=seconds + 20)

        def told(*words: str) -> Any:
            argv = [sys.executable, "-m", "daemon", "--home", str(tmp_path / "home"), *words, "--json"]
            done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        (event,) = [e for e in told("events") if e["name"] == "board.unreachable"]
        for task in ids:  # what runs and what is still Ready alike
            board = told("why", task)["board"]
            assert board == {"error": event["data"]["error"], "since": event["at"]}
            assert "no connection to the board" in board["error"]
        time.sleep(seconds)
        with board_process(db, port, TOKEN) as url, commands(tmp_path / "cli", plain) as short:
            until(lambda: all(short.board.get(i).status is Status.COMPLETED for i in ids), 120)
            running.says("board.back")
            assert [told("why", i)["board"] for i in ids] == [None] * 3
            assert running.end() == 0
        assert effects.read_text().count("done") == 3, "nothing lost, nothing done twice"
        with commands(tmp_path / "home", env) as short:
            runs = [r for i in ids for r in short.store.runs(task=i)]
        assert [r.state for r in runs] == [RunState.COMPLETED] * 3
    finally:
        running.close()


def test_the_board_goes_away_in_the_middle_of_a_run(tmp_path: Path) -> None:
    outage(tmp_path, 5.0)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_the_board_is_down_for_a_minute(tmp_path: Path) -> None:
    outage(tmp_path, 60.0)


def test_an_outage_that_a_daemon_died_in_ends_when_the_next_one_reads_the_board(tmp_path: Path) -> None:
    with commands(tmp_path) as short:
        short.store.event("board.unreachable", error="no answer")
        assert short.store.outage() is not None
    with daemon(tmp_path, "--once", "--no-web") as one:
        assert one.process.wait(60) == 0
    with commands(tmp_path) as short:
        assert short.store.outage() is None


def start_against(url: str, database: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daemon", "--home", str(home), "run", "--once", "--no-web"],
        env={**BASE, **notion_like(url, database), **more},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_once_gives_up_on_a_board_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    done = start_against(url, "a" * 32, tmp_path, HANDOFFD_BOARD__GIVE_UP="2")
    assert done.returncode == 69
    assert "error: " in done.stderr and "no connection to the board" in done.stderr, done.stderr[-2000:]


def test_a_wrong_token_a_missing_database_and_a_missing_option_stop_the_start(tmp_path: Path) -> None:
    import httpx

    with BoardServer(BoardConfig(db=tmp_path / "b.db", token=TOKEN)) as server:
        database = make_database(server.url)
        refused = start_against(
            server.url, database, tmp_path / "1", NOTION_TOKEN="ntn_wrong_0123456789012345"
        )
        assert (
            refused.returncode == 77
            and "token" in refused.stderr
            and "0123456789012345" not in refused.stderr
        )
        missing = start_against(server.url, "f" * 32, tmp_path / "2")
        assert missing.returncode == 78 and "f" * 8 in missing.stderr and "hint:" in missing.stderr
        headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2025-09-03"}
        shown = httpx.get(f"{server.url}/v1/databases/{database}", headers=headers).json()
        source = shown["data_sources"][0]["id"]
        httpx.patch(
            f"{server.url}/v1/data_sources/{source}",
            headers=headers,
            json={
                "properties": {"Status": {"status": {"options": [{"name": "Ready"}, {"name": "Completed"}]}}}
            },
        ).raise_for_status()
        broken = start_against(server.url, database, tmp_path / "3")
        assert broken.returncode == 78
        assert "In Progress" in broken.stderr and "Ready" in broken.stderr
