"""The real daemon, started again and again by fork, with something happening to it at one chosen point.

Run as ``python killable.py``: reads orders from stdin, one JSON object a line, and answers each with
``{"rc": …, "over": …}`` when the task is over, or that daemon's process. An order::

    {"home": DIR, "task": ID, "log": FILE, "trace": FILE, "at": POINT or "", "fault": "kill", "lease": 2.0}

The points are wrapped around the product from outside (there is no test branch in it): before and after each
durable step, within it when it has acted and its result is not kept yet, before each call to the board and,
for one that writes, when the board has done it; after each write to the store that moves a run; before each
effect on a file below the home folder; before each child program. Every point that is passed is written to
the trace first, so a point is hit once in a round, however often the daemon is started.

``"fault": "clock -3600"`` puts the process's clock by so many seconds at the point, and it stays so in the
lives that follow: ``time.time``, which is all that the product reads, and APScheduler's ``datetime.now``.
"""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from apscheduler.executors import base as aps_executors
from apscheduler.schedulers import base as aps_base

from daemon import parts, service
from daemon.board import transport
from daemon.cli.app import run as run_command_line
from daemon.engine import durable
from daemon.local_board import server as board_server
from daemon.local_board.faults import FaultRule
from daemon.store import Store

READS = 2
"""How many reads of one kind are points: a daemon looks at the board as often as it has time to."""

ENDED = {"completed", "failed", "blocked", "review", "cancelled"}
FILE_EVENTS = {"os.rename": "rename", "os.link": "link", "os.remove": "remove", "os.mkdir": "mkdir"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
NOT_EFFECTS = re.compile(r"(state|board|library)\.db|daemon\.log|\.pyc|__pycache__")
IDS = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-9a-f]{8,}|\d{4,}|[0-9]{8}T[0-9]{6}Z?")


class Clock:
    """The wall clock of this process, which can be put. Everything that measures spans stays as it is."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._real = time.time

    def __call__(self) -> float:
        return self._real() + self.offset

    def take_over(self) -> None:
        """From here on this process reads its time here."""
        time.time = self
        scheduled = type("datetime", (datetime,), {"now": classmethod(lambda cls, tz=None: self.now(tz))})
        for module in (aps_base, aps_executors):
            module.datetime = scheduled

    def now(self, zone: tzinfo | None) -> datetime:
        return datetime.fromtimestamp(self(), zone)


CLOCK = Clock()


class Points:
    """What is passed, in order, and what happens at the chosen one."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._home = str(order["home"])
        self._at = order["at"]
        self._fault = order["fault"]
        self._lease = float(order.get("lease") or 0.0)
        self._trace = os.open(order["trace"], os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        before = Path(order["trace"]).read_text().splitlines()
        self._seen = Counter(line.rsplit("#", 1)[0] for line in before)
        self._lock = threading.RLock()
        self._inside = threading.local()
        self.app: Any = None
        if self._fault.startswith("clock"):
            CLOCK.take_over()
            if self._at in before:
                CLOCK.offset = float(self._fault.split()[1])

    def passing(self, label: str) -> None:
        """We are at ``label``: say so, then let happen what was ordered for it."""
        if getattr(self._inside, "now", False):
            return
        self._inside.now = True
        try:
            with self._lock:
                self._seen[label] += 1
                point = f"{label}#{self._seen[label]}"
                os.write(self._trace, f"{point}\n".encode())
                hit = point == self._at
                if hit and self._fault == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
            if hit:
                self._happen(label)
        finally:
            self._inside.now = False

    def _happen(self, label: str) -> None:
        if self._fault.startswith("clock"):
            CLOCK.offset = float(self._fault.split()[1])
        elif self._fault == "term":
            os.kill(os.getpid(), signal.SIGTERM)
        elif self._fault == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self._fault in ("502 after", "cut after"):
            method = label.split()[2]
            kind = "error" if self._fault == "502 after" else "cut"
            rule = FaultRule(kind=kind, status=502, when="after", method=method, path="^(?!_board).*")
            self.app.state.board.faults.add(rule)

    def file_event(self, event: str, args: tuple[Any, ...]) -> None:
        """Audit hook: called by the interpreter before it does what the event names."""
        if event == "subprocess.Popen":
            program = args[1][-1] if args[1] else ""
            found = re.search(r'"argv": \["([^"]*)"', str(program))
            self.passing(f"child {Path(found.group(1)).name if found else 'other'}: before")
            return
        if event == "open":
            path, _, flags = args
            if not isinstance(path, str) or not isinstance(flags, int) or not flags & WRITING:
                return
            verb = "open"
        elif event in FILE_EVENTS:
            verb, path = (
                FILE_EVENTS[event],
                os.fspath(args[1] if event in ("os.rename", "os.link") else args[0]),
            )
        else:
            return
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if verb == "mkdir" and Path(path).is_dir():
            return
        if path.startswith(self._home):
            path = path[len(self._home) :]
        elif path.startswith("/"):
            return
        if not NOT_EFFECTS.search(path):
            self.passing(f"file {verb} {IDS.sub('*', path)}: before")


def install(points: Points) -> None:
    """Wrap the product's own functions; the fork throws all of it away again."""
    _around_steps(points)
    _around_calls(points)
    for name in ("begin_run", "change_run", "made", "put_gates"):
        _after(Store, name, f"store {name}: after", points)
    _after(durable.Engine, "submit", "engine submit: after", points)
    create = board_server.create_app

    def created(config: Any) -> Any:
        points.app = create(config)
        return points.app

    board_server.create_app = created
    sys.addaudithook(points.file_event)


def _around_steps(points: Points) -> None:
    step = durable._step

    def stepped(name: str, fn: Callable[[], Any]) -> Any:
        shown = IDS.sub("*", name)

        def acted() -> Any:
            points.passing(f"step {shown}: before")
            value = fn()
            points.passing(f"step {shown}: acted")
            return value

        value = step(name, acted)
        points.passing(f"step {shown}: kept")
        return value

    durable._step = stepped


def _around_calls(points: Points) -> None:
    send = transport.Transport._send
    reads: Counter[str] = Counter()

    @functools.wraps(send)
    def sent(self: Any, purpose: str, method: str, path: str, query: Any, body: Any, write: bool) -> Any:
        label = f"board {purpose} {method} {IDS.sub('*', path)}"
        reads[label] += 1
        told = write or reads[label] <= READS
        if told:
            points.passing(f"{label}: before")
        answer = send(self, purpose, method, path, query, body, write)
        if write:
            points.passing(f"{label}: applied")
        return answer

    transport.Transport._send = sent


def _after(owner: Any, name: str, label: str, points: Points) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value = original(*args, **kwargs)
        if "progress" not in kwargs or len(kwargs) > 1:
            points.passing(label)
        return value

    setattr(owner, name, wrapped)


def serve() -> None:
    """Take orders until stdin ends. One process at a time."""
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become_daemon(order)
        print(json.dumps(_watch(child, order)), flush=True)


def _watch(child: int, order: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of the task or of the process. A daemon whose task is over is killed, too: the end of
    a task must not need one second more of it."""
    stopped, end = 0, time.monotonic() + order["within"]
    over = False
    while True:
        pid, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            stopped += 1
            time.sleep(order["lease"] * 1.5)
            os.kill(child, signal.SIGCONT)
        elif pid:
            return {"rc": os.waitstatus_to_exitcode(status), "stopped": stopped, "over": over}
        elif not over and (is_over(Path(order["home"]), order["task"]) or time.monotonic() > end):
            over = True
            os.kill(child, signal.SIGKILL)
        else:
            time.sleep(0.02)


def is_over(home: Path, task: str) -> bool:
    """Whether all runs of ``task`` have ended, with their workflows."""
    file = home / "state.db"
    if not file.exists():
        return False
    db = sqlite3.connect(file, timeout=30.0)
    try:
        rows = db.execute("SELECT state FROM handoffd_runs WHERE task = ?", (task,)).fetchall()
        open_ = "SELECT count(*) FROM workflow_status WHERE status IN ('PENDING', 'ENQUEUED')"
        states = {r[0] for r in rows} - {"released"}
        return bool(states) and states <= ENDED and db.execute(open_).fetchone()[0] == 0
    except sqlite3.OperationalError:  # the tables are not there yet
        return False
    finally:
        db.close()


def _become_daemon(order: dict[str, Any]) -> None:
    code = 70
    try:
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        # The pauses between two looks would be most of a round's time.
        durable.Engine.__init__.__kwdefaults__["poll"] = 0.1
        parts.ARRIVALS_S = service.MAIN_LOOP_S = 0.1
        install(Points(order))
        os.chdir(order["home"])
        code = run_command_line(["--home", order["home"], "run", "--no-web"])
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
