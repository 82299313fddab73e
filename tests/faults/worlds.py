"""Small worlds for one task each: what the daemon needs around it, and what must hold afterwards."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from daemon import service, session, tour
from daemon.core.status import RunState, Status
from daemon.core.task import Draft
from daemon.settings.load import load
from daemon.wiring import board_token

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
LEASE_S = 2.0
TUNE_S = 0.5
WITHIN_S = 90.0
"""A round takes two or three seconds; this is for a machine that does much else."""

SETTINGS = """
[music]
allow_hosts = ["127.0.0.1"]
min_free = 0
{eagle}

[agents.scribe]
names = ["Scribe"]
min_evidence_bytes = 10
{launch}

[run]
drain = 5.0
lease = {lease}

[poll]
interval = 0.3
jitter = 0.0

[log]
level = "debug"
"""


@dataclass
class Eagle:
    """A stand-in for the Eagle app, version 1: it takes the same file twice without a word."""

    items: list[dict[str, Any]] = field(default_factory=list)
    base: str = ""


@contextmanager
def eagle_app() -> Iterator[Eagle]:
    """The stand-in, served."""
    state = Eagle()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Quiet."""

        def say(self, data: Any) -> None:
            raw = json.dumps({"status": "success", "data": data}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(raw)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {k: v[0] for k, v in parse_qs(parts.query).items()}
            if parts.path == "/api/application/info":
                self.say({"version": "3.0", "buildVersion": "1"})
            elif parts.path == "/api/item/info":
                self.say(next((i for i in state.items if i["id"] == query["id"]), None))
            elif int(query.get("offset", 0)):
                self.say([])
            else:
                self.say(state.items)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/api/item/addFromPath":
                size = Path(body["path"]).stat().st_size
                item = {"id": f"E{len(state.items):07d}", "size": size, "isDeleted": False}
                state.items.append({**item, "name": body["name"], "tags": body["tags"]})
                self.say(item["id"])
            else:
                next(i for i in state.items if i["id"] == body["id"])["tags"] = body["tags"]
                self.say({})

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.base = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


class Zygote:
    """The process that the daemons are forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "killable.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENV,
            text=True,
            start_new_session=True,
        )

    def daemon(self, **order: Any) -> dict[str, Any]:
        """One life of a daemon: ``rc`` (negative: the signal that ended it), ``stopped`` (how often)."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it, and with it (by the kernel) what it started."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@dataclass
class Result:
    """What one round came to."""

    points: list[str]
    lives: list[int]
    """Exit codes of the daemons, in order."""
    stopped: int
    evidence: list[tuple[str, str]]
    """(gate, kind) of what was recorded, sorted."""
    hit: bool
    """Whether the chosen point was passed."""


class World:
    """One kind of task, prepared once and copied for each round."""

    agent: tuple[str, ...] = ()
    """Arguments of the scripted agent that watches the inbox, "" = none."""
    launch = ""
    eagle = False
    made = 0
    """Tasks that the run makes."""

    def __init__(self, folder: Path, name: str, zygote: Zygote, tune: str, app: Eagle) -> None:
        self.name = name
        self._folder = folder / name
        self._zygote = zygote
        self._app = app
        self._rounds = 0
        seed = self._folder / "seed"
        seed.mkdir(parents=True)
        eagle = f'eagle_base_url = "{app.base}"' if self.eagle else ""
        text = SETTINGS.format(eagle=eagle, launch=self.launch, lease=LEASE_S)
        (seed / "handoffd.toml").write_text(text)
        with service.session(load(home=seed, env=ENV)) as short:
            self.task = short.board.create(self.draft(tune)).id

    def draft(self, tune: str) -> Draft:
        """The task."""
        raise NotImplementedError

    def outside(self, home: Path) -> None:
        """Check what the handler left outside board and store."""

    def round(
        self, at: str = "", fault: str = "kill", *, meddle: Callable[[Path], Any] | None = None
    ) -> Result:
        """Let the task run to its end with ``fault`` at ``at``, and check everything."""
        self._rounds += 1
        home = self._folder / f"r{self._rounds}"
        shutil.copytree(self._folder / "seed", home)
        self._app.items.clear()
        trace, log = Path(f"{home}.trace"), home / "daemon.log"
        agent = self._employ(home)
        lives, stopped = [], 0
        try:
            over = False
            while not over:
                said = self._zygote.daemon(
                    home=str(home),
                    task=self.task,
                    log=str(log),
                    trace=str(trace),
                    at=at,
                    fault=fault,
                    lease=LEASE_S,
                    within=WITHIN_S,
                )
                over = said["over"]
                lives.append(said["rc"])
                stopped += said["stopped"]
                assert said["rc"] in (0, -9, -15 if fault == "term" else 0), (
                    f"{self.name} at {at}: exit {said['rc']}; {_tail(log)}"
                )
                assert len(lives) < 9, f"{self.name} at {at}: {lives}; {_tail(log)}"
        finally:
            if agent is not None:
                agent.terminate()
                agent.wait()
        try:
            evidence = self._check(home)
        except AssertionError as error:
            raise AssertionError(f"{self.name} at {at} ({fault}): {error}\n{_tail(log)}") from error
        points = trace.read_text().splitlines()
        result = Result(points, lives, stopped, evidence, at in points)
        shutil.rmtree(home)
        trace.unlink()
        return result

    def _employ(self, home: Path) -> subprocess.Popen[bytes] | None:
        if not self.agent:
            return None
        argv = [sys.executable, *self.agent, str(home / "agents" / "scribe"), "600"]
        return subprocess.Popen(argv, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def _check(self, home: Path) -> list[tuple[str, str]]:
        loaded = load(home=home, env=ENV)
        with session.local_board(loaded) as served, service.session(loaded) as short:
            page = short.board.get(self.task)
            pages = short.board.list()
            runs = short.store.runs(task=self.task)
            sections = _sections(served.url, board_token(loaded), self.task)
            assert page.status is Status.COMPLETED, (page.status_name, page.why, page.result)
            states = Counter(r.state for r in runs)
            assert states[RunState.COMPLETED] == 1, f"it ends once: {states}"
            assert set(states) <= {RunState.COMPLETED, RunState.RELEASED}, f"one attempt did it: {states}"
            run = next(r for r in runs if r.state is RunState.COMPLETED)
            assert page.claim is not None and page.claim.lease_until_ms == 0, "the claim is released"
            assert not short.store.active_runs(), "nothing is left open"
            gates = short.store.gates(run.run)
            assert all(g.result.value in ("passed", "not_applicable") for g in gates if g.required), gates
            evidence = short.store.evidence(run.run)
            steps = short.store.steps(run.run)
            assert all(s.state in ("done", "failed") for s in steps), [(s.name, s.state) for s in steps]
            keys = Counter(p.source_key for p in pages if p.source_key)
            assert len(pages) == 1 + self.made, [p.title for p in pages]
            assert all(n == 1 for n in keys.values()), keys
            assert len(short.store.made_by(run.run)) == self.made
            finished = [e for e in short.store.events(run=run.run) if e.name == "task.finished"]
            assert finished, "its end is in the log"
        reports = [p for p in (home / "reports").glob("*/*/*") if p.is_dir()]
        assert len(reports) == 1 and reports[0] == Path(run.report), f"one report: {reports} {run.report}"
        assert {"report.md", "report.html", "evidence.json"} <= {p.name for p in reports[0].iterdir()}
        assert sections == [run.run], f"one section on the page: {sections}"
        told = json.loads((reports[0] / "evidence.json").read_text())
        assert told, "evidence.json is whole"
        left = [p for p in home.rglob("*") if ".tmp" in p.name or p.name.endswith(".part")]
        left += list((home / "work").iterdir()) if (home / "work").exists() else []
        assert not left, f"no temporary file is left: {left}"
        self.outside(home)
        return sorted((e.gate, e.kind) for e in evidence)


class Music(World):
    """One address → four files, two of them in Eagle."""

    eagle = True

    def draft(self, tune: str) -> Draft:
        return Draft(title="Sync it", handler="music-sync", url=tune, source_key="kill:music")

    def outside(self, home: Path) -> None:
        everything = [p for p in (home / "music").rglob("*") if p.is_file()]
        music = sorted(p for p in everything if not p.name.startswith("."))
        markers = {p.name for p in everything if p.name.startswith(".")}
        assert markers <= {".handoffd-library", ".handoffd.lock"}, f"no temporary file: {markers}"
        assert len(music) == 4, f"four files, none twice: {music}"
        with sqlite3.connect(home / "state.db") as db:
            rows = db.execute("SELECT data FROM handoffd_evidence WHERE kind = 'file'").fetchall()
        db.close()
        data = [json.loads(r[0]) for r in rows]
        known = {d["path"]: d["sha256"] for d in data if "sha256" in d and "path" in d}
        for file in music:
            assert hashlib.sha256(file.read_bytes()).hexdigest() == known[str(file)], file
        tags = Counter(t for i in self._app.items for t in i["tags"] if "handoffd" in t.lower())
        assert len(self._app.items) == 2, f"two imports, none twice: {self._app.items}"
        assert all(n == 1 for n in tags.values()), tags


class Handoff(World):
    """A packet for an agent that watches its inbox, and a follow-up that the agent proposes."""

    agent = (str(HERE / "agent.py"),)
    made = 1

    def draft(self, tune: str) -> Draft:
        return Draft(
            title="Write a greeting for the team",
            handler="handoff",
            agent="Scribe",
            description="Put a short greeting for the team into greeting.txt in your workspace.",
            acceptance=("AC1 greeting.txt says hello to the team",),
            parameters='check.AC1 = {use = "file", path = "greeting.txt", contains = "team", min_bytes = 10}',
            source_key="kill:handoff",
        )

    def outside(self, home: Path) -> None:
        packets = [p for p in (home / "agents" / "scribe").glob("0*/*") if p.is_dir()]
        assert len(packets) == 1 and packets[0].parent.name == "02_processed", f"one packet: {packets}"
        assert (packets[0] / "receipt.json").is_file()
        hidden = [p for p in (home / "agents").rglob(".*") if p.name not in (".ledger", ".lock")]
        assert not hidden, f"no temporary file: {hidden}"


class Launched(Handoff):
    """The same with an agent that the daemon starts."""

    agent = ()
    launch = f"launch = {json.dumps([sys.executable, str(HERE / 'agent.py'), '--packet', '{packet}'])}"


class Report(World):
    """A digest of what ran."""

    def draft(self, tune: str) -> Draft:
        return Draft(title="Digest", handler="report", parameters='since = "1d"', source_key="kill:report")


WORLDS: dict[str, type[World]] = {"music": Music, "handoff": Handoff, "launched": Launched, "report": Report}


@contextmanager
def around(folder: Path) -> Iterator[Callable[[str], World]]:
    """The tune's server, Eagle's stand-in and the zygote; gives worlds by name, each prepared once."""
    tune = folder / "tune" / "Kill - Point.wav"
    tune.parent.mkdir(parents=True)
    tour.write_tune(tune, TUNE_S)
    quiet = partial(tour._Quiet, directory=str(tune.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), quiet)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/Kill%20-%20Point.wav"
    zygote = Zygote()
    made: dict[str, World] = {}
    try:
        with eagle_app() as app:

            def world(name: str) -> World:
                if name not in made:
                    made[name] = WORLDS[name](folder, name, zygote, url, app)
                return made[name]

            yield world
    finally:
        zygote.close()
        server.shutdown()
        server.server_close()


def _sections(url: str, token: str, task: str) -> list[str]:
    """The runs whose report section stands on the page."""
    headers = {"authorization": f"Bearer {token}", "notion-version": "2025-09-03"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        answer = client.get(f"/v1/blocks/{task}/children", params={"page_size": 100})
        answer.raise_for_status()
    text = [
        "".join(t["plain_text"] for t in b["callout"]["rich_text"])
        for b in answer.json()["results"]
        if b["type"] == "callout"
    ]
    return [line.split(" · ")[1].removeprefix("run ") for t in text for line in [t.splitlines()[-1]]]


def _tail(log: Path) -> str:
    return log.read_text()[-6000:] if log.exists() else "no log"
