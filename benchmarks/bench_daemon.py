"""The daemon: start, help, idle, board calls — beside a bare Python, bare notion-client and bare DBOS."""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from daemon import service
from daemon.core.status import Status
from daemon.core.task import Draft
from daemon.settings.load import load

IDLE_S = 30.0
SETTLE_S = 62.0
"""DBOS looks for schedules every second in its first minute; idle is what comes after."""
ENV = {"PATH": os.environ["PATH"]}

BARE_DBOS = """
import sys, time, os
from dbos import DBOS
DBOS(config={"name": "bare", "system_database_url": f"sqlite:///{sys.argv[1]}/bare.db", "log_level": "ERROR"})
DBOS.launch()
print("ready", flush=True)
time.sleep(float(sys.argv[2]))
os._exit(0)
"""


def cpu_of(argv: list[str], times: int = 7) -> float:
    """Minimum CPU seconds (user + system, children too) over some runs of a command."""
    best = float("inf")
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, env=ENV, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def rss_mb(pid: int) -> float:
    """Resident memory now, MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_s(pid: int) -> float:
    """CPU seconds used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def daemon_to_ready(home: Path, *more: str) -> tuple[subprocess.Popen[bytes], float]:
    """Start the daemon against a notify socket of ours; seconds until READY=1."""
    address = str(home / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listen:
        listen.bind(address)
        listen.settimeout(30)
        argv = [sys.executable, "-m", "daemon", "--home", str(home), "run", *more]
        env = {**ENV, "NOTIFY_SOCKET": address, "HANDOFFD_WEB__PORT": "0", "HANDOFFD_LOG__LEVEL": "error"}
        began = time.monotonic()
        process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL)
        while b"READY=1" not in listen.recv(4096):
            pass
        took = time.monotonic() - began
    Path(address).unlink()
    return process, took


def idle_of(*processes: subprocess.Popen[bytes]) -> list[tuple[float, float]]:
    """(MB, % of one core) of each idle process, over the same ``IDLE_S`` after they have settled."""
    time.sleep(SETTLE_S)
    before = [cpu_s(p.pid) for p in processes]
    time.sleep(IDLE_S)
    used = [cpu_s(p.pid) - b for p, b in zip(processes, before, strict=True)]
    found = [(rss_mb(p.pid), cpu / IDLE_S * 100) for p, cpu in zip(processes, used, strict=True)]
    for process in processes:
        process.terminate()
        process.wait(30)
    return found


def board_calls(home: Path) -> tuple[dict[str, int], int]:
    """Calls by purpose for one finished task, and for five idle looks."""
    loaded = load(home=home, env=ENV)
    with service.session(loaded) as short:
        task = short.board.create(Draft(title="A digest", handler="report")).id
    from daemon.process import HomeLock
    from daemon.wiring import with_handlers

    loaded, registry = with_handlers(load(home=home, env=ENV, flags={"log.level": "error"}))
    lock = HomeLock(loaded.paths.lock)
    lock.take()
    daemon = service.Service(loaded, registry, lock=lock, web=False, once=True)
    daemon.start()
    end = time.monotonic() + 60
    while daemon.store.latest_runs([task]).get(task) is None or daemon.store.active_runs():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert daemon.board.get(task).status is Status.COMPLETED
    finished = dict(daemon.board.calls())
    daemon.clock.stop()
    before = sum(daemon.board.calls().values())
    for _ in range(5):
        daemon.tick.run()
    idle = sum(daemon.board.calls().values()) - before
    daemon.stop()
    lock.release()
    return finished, idle


Row = dict[str, object]

BARE_NOTION = (
    "import notion_client, os; notion_client.Client(auth='x');"
    "print(int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6)"
)


def rows() -> list[Row]:
    """The table of this room."""
    with tempfile.TemporaryDirectory(prefix="handoffd-bench-") as folder:
        root = Path(folder)
        return [help_row(), *life_rows(root), *board_rows(root / "calls")]


def help_row() -> Row:
    """What ``--help`` costs."""
    helped = cpu_of([sys.executable, "-m", "daemon", "--help"])
    return {
        "name": "--help, CPU",
        "ours": helped * 1000,
        "unit": "ms",
        "peer": cpu_of([sys.executable, "-c", "pass"]) * 1000,
        "peer_name": "bare Python",
        "limit": "120 ms",
        "held": helped < 0.120,
    }


def life_rows(root: Path) -> list[Row]:
    """From the start to READY, and idle, beside a bare DBOS that lives through the same time."""
    starts = []
    for i in range(3):
        home = root / f"start{i}"
        home.mkdir()
        process, took = daemon_to_ready(home)
        starts.append(took)
        process.terminate()
        process.wait(30)
    began = time.monotonic()
    argv = [sys.executable, "-c", BARE_DBOS, str(root), str(SETTLE_S + IDLE_S + 60)]
    dbos = subprocess.Popen(argv, env=ENV, stdout=subprocess.PIPE)
    assert dbos.stdout is not None
    dbos.stdout.readline()
    bare_dbos = time.monotonic() - began
    ready = statistics.median(starts)
    home = root / "idle"
    home.mkdir()
    process, _ = daemon_to_ready(home)
    ours, theirs = idle_of(process, dbos)
    dbos.stdout.close()
    start = {
        "name": "start to READY, first start of a new home, wall",
        "ours": ready,
        "unit": "s",
        "peer": bare_dbos,
        "peer_name": "bare DBOS, new store",
        "limit": "1.5 s",
        "held": ready < 1.5,
    }
    return [start, *idle_rows(ours, theirs)]


def idle_rows(ours: tuple[float, float], theirs: tuple[float, float]) -> list[Row]:
    """(MB, % of one core) of us and of a bare DBOS, as rows."""
    (mb, cpu), (dbos_mb, dbos_cpu) = ours, theirs
    notion = subprocess.run(
        [sys.executable, "-c", BARE_NOTION], env=ENV, capture_output=True, text=True, check=True
    )
    return [
        {
            "name": "idle memory: engine, dashboard, local board",
            "ours": mb,
            "unit": "MB",
            "peer": dbos_mb,
            "peer_name": "bare DBOS",
            "limit": "110 MB",
            "held": mb <= 110,
        },
        {
            "name": "the same, beside",
            "ours": mb,
            "unit": "MB",
            "peer": float(notion.stdout),
            "peer_name": "bare notion-client",
        },
        {
            "name": "idle CPU: engine, dashboard, local board at its own interval",
            "ours": cpu,
            "unit": "% core",
            "peer": dbos_cpu,
            "peer_name": "bare DBOS",
            "limit": "1 %",
            "held": cpu < 1.0,
        },
    ]


def board_rows(home: Path) -> list[Row]:
    """What one finished task and one idle look ask of the board."""
    calls, idle = board_calls(home)
    task_calls = calls.get("claim", 0) + calls.get("write", 0) + calls.get("finish", 0)
    return [
        {
            "name": "board calls for a finished task beside its report body",
            "ours": task_calls,
            "unit": "calls",
            "peer": 2,
            "peer_name": "the least: claim and finish",
            "limit": "2",
            "held": task_calls <= 2,
        },
        {"name": "  all calls of that daemon by purpose", "ours": str(calls), "unit": ""},
        {
            "name": "board calls for an idle poll",
            "ours": idle / 5,
            "unit": "calls",
            "peer": 1,
            "peer_name": "the least: one query",
            "limit": "1",
            "held": idle == 5,
        },
    ]


if __name__ == "__main__":
    from benchmarks.table import show

    show(rows())
