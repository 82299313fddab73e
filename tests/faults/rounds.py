"""One home folder, the demo's three tasks, and a daemon killed and started again until they are over."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from daemon import service, tour
from daemon.core.status import RunState, Status
from daemon.settings.load import Loaded, load

ROOT = Path(__file__).resolve().parents[2]
OVER = (Status.COMPLETED, Status.FAILED, Status.BLOCKED, Status.REVIEW)

SETTINGS = """
[music]
allow_hosts = ["127.0.0.1"]

[agents.scribe]
names = ["Scribe"]
min_evidence_bytes = 10

[run]
drain = 2.0
crashes = 1000  # it is killed from outside here
"""


class Round:
    """The world of one round: the tune and the agent live here, outside the daemon that is killed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True)
        (home / "handoffd.toml").write_text(SETTINGS)
        self._env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        self.loaded: Loaded = load(home=home, env=self._env)
        self._tour = tour.Tour(home)
        url = self._tour.serve()
        self._tour.employ(home / "agents" / tour.AGENT, 600.0)
        with service.session(self.loaded) as short:
            self.tasks = [t.id for t in tour.create(short.board, url)]

    def close(self) -> None:
        self._tour.close()

    def start(self) -> subprocess.Popen[bytes]:
        with (self.home / "daemon.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "daemon", "--home", str(self.home), "run", "--once", "--no-web"],
                env=self._env,
                cwd=self.home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill_after(self, seconds: float) -> bool:
        """Start it and kill -9 its whole group ``seconds`` later; False when it had ended by itself."""
        process = self.start()
        try:
            process.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True

    def over(self) -> bool:
        """Nothing is left to do for a daemon that starts now: a kill may fall between the last word on a page
        and the record of it, and then the next start has to record it."""
        with service.session(self.loaded) as short:
            pages = all(short.board.get(t).status in OVER for t in self.tasks)
            return pages and all(r.state.final for t in self.tasks for r in short.store.runs(task=t))

    def finish(self, within: float) -> None:
        """Let it run undisturbed until all tasks are over."""
        end = time.monotonic() + within
        while not self.over():
            assert time.monotonic() < end, self.tail()
            process = self.start()
            assert process.wait(within) in (0, 1), self.tail()
            time.sleep(0.3)

    def tail(self) -> str:
        return (self.home / "daemon.log").read_text()[-4000:]

    def check(self) -> dict[str, Any]:
        """Everything that must hold; returns what was counted."""
        with service.session(self.loaded) as short:
            pages = [short.board.get(t) for t in self.tasks]
            runs = [r for t in self.tasks for r in short.store.runs(task=t)]
            evidence = {r.run: short.store.evidence(r.run) for r in runs}
        told = [(p.title, p.status_name, p.why) for p in pages]
        assert [p.status for p in pages] == [Status.COMPLETED] * 3, (told, self.tail())
        ended = Counter(r.task for r in runs if r.state is RunState.COMPLETED)
        assert ended == dict.fromkeys(self.tasks, 1), "each task ends once"
        assert all(r.state.final for r in runs), "nothing is left open"
        assert all(p.claim is not None and p.claim.lease_until_ms == 0 for p in pages), "claims are released"

        everything = [p for p in (self.home / "music").rglob("*") if p.is_file()]
        music = sorted(p for p in everything if not p.name.startswith("."))
        markers = {p.name for p in everything if p.name.startswith(".")}
        assert markers <= {".handoffd-library", ".handoffd.lock"}, f"no temporary file survives: {markers}"
        assert len(music) == 4, f"four files, none twice, none half: {music}"
        recorded = {
            e.data["path"]: e.data
            for items in evidence.values()
            for e in items
            if e.kind == "file"
            and "sha256" in e.data
            and str(e.data.get("path", "")).startswith(str(self.home))
        }
        for file in music:
            assert hashlib.sha256(file.read_bytes()).hexdigest() == recorded[str(file)]["sha256"], file

        packets = [p for p in (self.home / "agents" / tour.AGENT).glob("0*/*") if p.is_dir()]
        assert len(packets) == 1, f"one packet: {packets}"
        packet = json.loads((packets[0] / "handoff.json").read_text())
        assert self.tasks[1] in json.dumps(packet).replace("-", "")

        reports = [p for p in (self.home / "reports").glob("*/*/*") if p.is_dir()]
        reported = Counter(p.name.rsplit("--", 1)[-1] for p in reports)
        ours = {r.run: 1 for r in runs if r.state is RunState.COMPLETED}
        assert {r: n for r, n in reported.items() if r in ours} == ours, "one report for each that ended"
        leftovers = [p for p in self.home.rglob("*") if ".tmp" in p.name or p.name.endswith(".part")]
        assert leftovers == [], "no temporary file survives"
        work = self.home / "work"
        assert not work.exists() or list(work.iterdir()) == []
        return {"runs": len(runs), "files": len(music), "packets": len(packets)}


def campaign(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill ``kills`` times at random moments, over as many rounds as that takes; check after each round."""
    rng = random.Random(seed)
    done = rounds = runs = 0
    while done < kills:
        world = Round(folder / f"round{rounds}")
        try:
            while done < kills and not world.over():
                done += world.kill_after(rng.uniform(0.2, 4.5))
            world.finish(90.0)
            runs += world.check()["runs"]
        finally:
            world.close()
        rounds += 1
    return {"kills": done, "rounds": rounds, "runs": runs}
