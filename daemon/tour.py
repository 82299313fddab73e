"""The first-run tour: one task of each kind on a local board, done for real, with everything they need.

The music comes from a small server on loopback that serves a tune made here; the handoff is answered by a
small scripted agent that knows nothing but its inbox; the report reads what the other two left on record.
"""

from __future__ import annotations

import math
import secrets
import struct
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.core.errors import ConfigError, ExitCode, TransientError
from daemon.core.evidence import files_of
from daemon.core.ports import Board
from daemon.core.status import RunState, Status
from daemon.core.task import Draft, Priority, Task
from daemon.settings.load import Loaded, load

if TYPE_CHECKING:
    from daemon.service import Service
    from daemon.store import Store

LIMIT_S = 180.0
"""The tour takes some ten seconds; on a machine so slow that this is not enough it says so and ends 1."""

TUNE_S = 6.0
AGENT = "scribe"
KEY = "demo:"
OVER = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.ARCHIVED)


class Tour:
    """The tune's server and the scripted agent, for as long as the context lasts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: ThreadingHTTPServer | None = None
        self._agent: subprocess.Popen[bytes] | None = None
        self.url = ""

    def serve(self) -> str:
        """Make the tune and serve it; gives the URL."""
        tune = self._folder / "demo" / "Handoffd Demo - First Light.wav"
        if not tune.exists():
            tune.parent.mkdir(parents=True, exist_ok=True)
            write_tune(tune, TUNE_S)
        quiet = partial(_Quiet, directory=str(tune.parent))
        # The same port after a restart: the URL stands on the board.
        kept = tune.parent / "port"
        port = int(kept.read_text()) if kept.exists() else 0
        self._server = ThreadingHTTPServer(("127.0.0.1", port), quiet)
        kept.write_text(str(self._server.server_port))
        threading.Thread(target=self._server.serve_forever, daemon=True, name="demo-tune").start()
        name = tune.name.replace(" ", "%20")
        self.url = f"http://127.0.0.1:{self._server.server_port}/{name}"
        return self.url

    def employ(self, inbox: Path, seconds: float) -> None:
        """Start the scripted agent on its inbox for at most ``seconds``."""
        found = find_spec("handlers.handoff.demo_agent")
        if found is None or found.origin is None:
            raise ConfigError("the demo's scripted agent is not installed", hint="install handoffd again")
        argv = [sys.executable, found.origin, str(inbox), str(seconds)]
        self._agent = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        """Stop both."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._agent is not None:
            with suppress(ProcessLookupError):
                self._agent.terminate()
            self._agent.wait()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Nothing: the daemon's log is the only one."""


def write_tune(file: Path, seconds: float, rate: int = 44_100) -> None:
    """A short stereo tune, 16 bit: a slow arpeggio with a fade at both ends, left and right a fifth apart."""
    frames = bytearray()
    total = int(seconds * rate)
    notes = (220.0, 277.18, 329.63, 440.0)
    for i in range(total):
        t = i / rate
        note = notes[int(t * 2) % len(notes)]
        fade = min(1.0, t / 0.2, (seconds - t) / 0.5)
        left = math.sin(2 * math.pi * note * t) * 0.4 * fade
        right = math.sin(2 * math.pi * note * 1.5 * t) * 0.3 * fade
        frames += struct.pack("<hh", int(left * 32767), int(right * 32767))
    temporary = file.with_suffix(".part")
    with wave.open(str(temporary), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(bytes(frames))
    temporary.replace(file)


def settings_of(loaded: Loaded) -> Loaded:
    """The same settings with what the tour needs on top: loopback allowed as a source, one agent."""
    asked = loaded.request
    flags: Mapping[str, Any] = {
        **asked.flags,
        "music.allow_hosts": ["127.0.0.1"],
        f"agents.{AGENT}.names": ["Scribe"],
        f"agents.{AGENT}.rendering": "plain",
        f"agents.{AGENT}.ack_within": LIMIT_S,
        f"agents.{AGENT}.min_evidence_bytes": 10,
    }
    return load(home=asked.home, config=asked.config, env=asked.env, flags=flags)


def drafts(url: str) -> dict[str, Draft]:
    """The three tasks; the digest waits for the other two (its ``after`` is filled in by ``seed``)."""
    return {
        "music": Draft(
            title="Sync “First Light” into the library",
            handler="music-sync",
            url=url,
            priority=Priority.HIGH,
            description="A tune of six seconds that the demo serves on this machine.",
            source_key="demo:music",
        ),
        "handoff": Draft(
            title="Write a greeting for the team",
            handler="handoff",
            agent="Scribe",
            priority=Priority.HIGH,
            description="Put a short greeting for the team into greeting.txt in your workspace.",
            acceptance=("AC1 greeting.txt says hello to the team",),
            parameters='check.AC1 = {use = "file", path = "greeting.txt", contains = "team", min_bytes = 10}',
            source_key="demo:handoff",
        ),
        "report": Draft(
            title="Digest of the demo",
            handler="report",
            parameters='since = "1d"',
            description="What ran today, from recorded evidence.",
            source_key="demo:report",
        ),
    }


def create(board: Board, url: str, mark: str = "") -> list[Task]:
    """Create the three tasks; a second time with the same ``mark`` gives the same ones."""
    wanted = {k: replace(d, source_key=d.source_key + mark) for k, d in drafts(url).items()}
    first = [board.create(wanted["music"]), board.create(wanted["handoff"])]
    digest = board.create(replace(wanted["report"], after=tuple(t.id for t in first)))
    return [*first, digest]


def seed(service: Service) -> None:
    """For ``run --demo``: the tour's tasks when the board has none; the tune and the agent for as long as one
    of them is open."""
    pages = service.board.list()
    mine = [p for p in pages if p.source_key.startswith(KEY)]
    if pages and all(p.status in OVER for p in mine):
        return
    tour = Tour(service.loaded.home)
    service.on_stop(tour.close)
    url = tour.serve()
    tour.employ(service.loaded.home / "agents" / AGENT, 3600.0)
    if not pages:
        create(service.board, url)
    service.clock.look_now()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the tour ends with: ``ok`` and, for each task, the JSON of contract.md §1."""

    ok: bool
    home: str
    tasks: list[dict[str, Any]]


def demo(home: Path | None, env: Mapping[str, str]) -> Shown:
    """Run the tour to its end in ``home`` (None = a new folder, which stays). Any Notion token is left out:
    the tour never touches a real board. Raises TransientError when it takes too long."""
    from daemon.process import HomeLock
    from daemon.service import Service
    from daemon.wiring import with_handlers

    home = home or Path(tempfile.mkdtemp(prefix="handoffd-demo-"))
    clean = {k: v for k, v in env.items() if not k.startswith(("NOTION_", "HANDOFFD_", "CREDENTIALS_"))}
    loaded, registry = with_handlers(settings_of(load(home=home, env=clean)))
    lock = HomeLock(loaded.paths.lock)
    lock.take()
    tour = Tour(home)
    service = Service(loaded, registry, lock=lock, web=False, once=True)
    try:
        service.start()
        url = tour.serve()
        tour.employ(home / "agents" / AGENT, LIMIT_S)
        tasks = create(service.board, url, f":{secrets.token_hex(4)}")
        service.clock.look_now()
        _until_over(service, [t.id for t in tasks])
        return _shown(home, [service.board.get(t.id) for t in tasks], service.store)
    finally:
        service.stop()
        tour.close()
        lock.release()


def _until_over(service: Service, tasks: list[str]) -> None:
    end = time.monotonic() + LIMIT_S
    seen = service.tick.snapshot.ticks + 2  # the tick after next began after the tasks were created
    while True:
        runs = service.store.latest_runs(tasks)
        over = [r.state.final and r.state is not RunState.RETRYING for r in runs.values()]
        if len(over) == len(tasks) and all(over):
            return
        if service.tick.snapshot.ticks >= seen and service.idle() and not service.store.active_runs():
            return  # one of them failed, and another waits for it
        if time.monotonic() > end:
            states = ", ".join(f"{r.handler} {r.state.value}" for r in runs.values())
            raise TransientError(
                f"the tour was not over after {LIMIT_S:.0f} s ({states})",
                hint=f"look into {service.loaded.home}",
            )
        time.sleep(0.1)


def _shown(home: Path, pages: list[Task], store: Store) -> Shown:
    rows = []
    for page in pages:
        run = store.latest_runs([page.id]).get(page.id)
        if run is None:
            rows.append({**_plain(page), "run": "", "report": "", "files": [], "gates": []})
            continue
        rows.append(
            {
                **_plain(page),
                "run": run.run,
                "report": run.report,
                "files": files_of(store.evidence(run.run)),
                "gates": [{"name": g.name, "result": g.result.value} for g in store.gates(run.run)],
            }
        )
    return Shown(ok=all(p.status is Status.COMPLETED for p in pages), home=str(home), tasks=rows)


def _plain(page: Task) -> dict[str, Any]:
    return {
        "id": page.id,
        "title": page.title,
        "handler": page.handler,
        "status": page.status_name,
        "why": page.why,
        "result": page.result,
    }


def exit_code(shown: Shown) -> ExitCode:
    """0 only if every task ended as it should."""
    return ExitCode.OK if shown.ok else ExitCode.FAILED
