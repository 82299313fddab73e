"""Music through the real daemon: two tracks at a time, and its memory over 200 of them.

The daemon is a process of its own (``run --once``) on a local board; the sources come from a loopback server.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench_music import call, sources
from daemon import service
from daemon.core.status import Status
from daemon.core.task import Draft
from daemon.settings.load import load
from handlers.music.ffmpeg import find_ffmpeg
from handlers.music.model import Tool

Row = dict[str, object]
TRACKS = 200
LANES = 6
"""Tracks of four minutes a run; so many that the start and the end of the run weigh little."""
SUM = "x = 0\nfor i in range(15_000_000): x += i"
"""About a second of one core, and of nothing else: no memory, no files, no threads."""
GAIN = 1.8
FLAT_KB = 25.0
"""KB a track that count as flat: the noise of an allocator, 5 MB over 200 tracks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One daemon's run. ``seconds``: first claim to last end. ``cpu_s``: the daemon and its children.
    ``others``: cores that everything else on the machine used meanwhile, None = not known. ``rss``: (tracks
    done, MB) of the daemon itself, in order."""

    seconds: float
    cpu_s: float
    others: float | None
    rss: list[tuple[int, float]]
    completed: int


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; says nothing."""

    def log_message(self, *args: object) -> None:
        """No lines between ours."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The folder's address on loopback."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def draft(base: str, name: str, number: int) -> Draft:
    """A task for one track; titles are digests, so that no two are alike."""
    title, artist = (hashlib.sha256(f"{part}{number}".encode()).hexdigest()[:16] for part in ("t", "a"))
    return Draft(
        title=f"Track {number}",
        handler="music-sync",
        url=f"{base}/{name}?n={number}",
        parameters=f'mode = "url"\ntitle = "{title}"\nartist = "{artist}"',
    )


def run_day(home: Path, drafts: list[Draft], at_once: int) -> Day:
    """The daemon from a board of Ready tasks until none is left."""
    home.mkdir()
    env = {
        "PATH": os.environ["PATH"],
        "TMPDIR": tempfile.gettempdir(),
        "HANDOFFD_RUN__CONCURRENCY": str(at_once),
        "HANDOFFD_MUSIC__ALLOW_HOSTS": "127.0.0.1",
        "HANDOFFD_LOG__LEVEL": "error",
    }
    argv = [sys.executable, "-m", "daemon", "--home", str(home), "run", "--once", "--no-web"]
    # The very first start makes the databases; it is no part of any day's work.
    subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, check=True)
    with service.session(load(home=home, env=env)) as short:
        tasks = [short.board.create(d).id for d in drafts]
    before, busy, began = resource.getrusage(resource.RUSAGE_CHILDREN), busy_s(), time.monotonic()
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL)
    try:
        rss = list(sampled(process, home))
    finally:
        process.kill()
        process.wait()
    after, passed = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    others = None if busy is None else max(0.0, ((busy_s() or busy) - busy - used) / passed)
    with service.session(load(home=home, env=env)) as short:
        runs = short.store.latest_runs(tasks)
        completed = sum(short.board.get(t).status is Status.COMPLETED for t in tasks)
    ended = [r.ended for r in runs.values() if r.ended is not None]
    return Day(
        seconds=max(ended) - min(r.started for r in runs.values()),
        cpu_s=used,
        others=others,
        rss=rss,
        completed=completed,
    )


def busy_s() -> float | None:
    """CPU seconds that the machine's cores have worked since its start; None where that is not told."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, soft, steal = (int(f) for f in first[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def sampled(process: subprocess.Popen[bytes], home: Path) -> Iterator[tuple[int, float]]:
    """(tracks done, MB) twice a second until the process ends."""
    page = os.sysconf("SC_PAGE_SIZE")
    backup = home / "music" / "_backup"
    while process.poll() is None:
        with contextlib.suppress(OSError):  # it may have ended just now
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            done = sum(1 for p in backup.rglob("*.m4a") if not p.name.startswith("."))
            if pages:
                yield done, pages * page / 1e6
        time.sleep(0.5)


def slope(points: list[tuple[int, float]]) -> float:
    """Least squares: KB a track."""
    fit = statistics.linear_regression([n for n, _ in points], [mb for _, mb in points])
    return fit.slope * 1000


def memory_rows(root: Path, tool: Tool) -> list[Row]:
    """The daemon's own memory while it makes many short tracks; the warm-up is the first quarter."""
    folder = root / "short"
    folder.mkdir()
    tone = "aevalsrc='0.2*sin(2*PI*220*t)|0.1*sin(2*PI*330*t)':s=44100:d=2"
    call(tool, "-f", "lavfi", "-i", tone, "-c:a", "aac", "-b:a", "128k", str(folder / "a.m4a"))
    with serving(folder) as base:
        day = run_day(root / "many", [draft(base, "a.m4a", n) for n in range(TRACKS)], 2)
    name = f"{TRACKS} tracks through one daemon"
    out: list[Row] = [{"name": f"{name}: completed", "ours": day.completed, "limit": str(TRACKS)}]
    out[0]["held"] = day.completed == TRACKS
    steady = [(n, mb) for n, mb in day.rss if n >= TRACKS // 4]
    if len(steady) < 20:
        return [*out, {"name": f"{name}: memory", "ours": "not measured", "held": False, "limit": "a series"}]
    at = {part: [mb for n, mb in steady if part <= n / TRACKS < part + 0.25] for part in (0.25, 0.5, 0.75)}
    quarters = " → ".join(f"{statistics.median(mbs):.1f}" for mbs in at.values() if mbs)
    grown = slope(steady)
    flat: Row = {"name": f"{name}: memory, slope over the last 150", "ours": grown, "unit": "KB/track"}
    most: Row = {"name": f"{name}: most memory", "ours": max(mb for _, mb in day.rss), "unit": "MB"}
    pace: Row = {"name": f"{name}: wall a track, two at a time", "ours": day.seconds / TRACKS, "unit": "s"}
    return [
        *out,
        flat | {"limit": f"< {FLAT_KB:g}", "held": grown < FLAT_KB, "note": f"quarters: {quarters} MB"},
        most,
        pace | {"floor": day.cpu_s / TRACKS / (os.cpu_count() or 1), "floor_name": "its CPU on every core"},
    ]


def gain_of(argv: list[str]) -> float:
    """How much faster two runs of a command are at once than one after the other; the median of three."""
    gains = []
    for _ in range(3):
        walls = []
        for number in (1, 2):
            began = time.perf_counter()
            running = [subprocess.Popen(argv, stderr=subprocess.DEVNULL) for _ in range(number)]
            if any(process.wait() for process in running):
                raise RuntimeError(f"{argv[0]} failed")
            walls.append(time.perf_counter() - began)
        gains.append(2 * walls[0] / walls[1])
    return statistics.median(gains)


def lane_rows(root: Path, tool: Tool) -> list[Row]:
    """Tracks of four minutes, one at a time and two at a time, whole runs."""
    folder = root / "long"
    folder.mkdir()
    made = sources(tool, folder)
    out: list[Row] = []
    machine = gain_of([sys.executable, "-c", SUM])
    for name in ("aac.m4a", "opus.webm"):
        with serving(folder) as base:
            drafts = [draft(base, name, n) for n in range(LANES)]
            one, two = (run_day(root / f"{made[name].stem}{k}", drafts, k) for k in (1, 2))
        whole = one.completed == two.completed == LANES
        gain = one.seconds / two.seconds
        cores = os.cpu_count() or 1
        alone = one.cpu_s / one.seconds
        fact: Row = {"name": f"{LANES} tracks ({made[name].stem}): one at a time ÷ two at a time, wall"}
        fact |= {"ours": gain, "unit": "×", "limit": f"≥ {GAIN} ×", "held": whole and gain >= GAIN}
        decode = [tool.path, "-v", "error", "-i", str(made[name]), "-c:a", "aac", "-f", "null", "-"]
        fact |= {"peer": gain_of(decode), "peer_name": "two plain calls of ffmpeg, to AAC"}
        limits = f"the most: one alone is {alone:.2f} cores, two sums at once gain {machine:.2f} ×"
        fact |= {"floor": min(machine, cores / alone), "floor_name": limits}
        note = f"{one.seconds:.1f} s, {two.seconds:.1f} s; CPU {one.cpu_s:.1f}, {two.cpu_s:.1f} s"
        if one.others is not None and two.others is not None:
            note += f"; others on the machine used {one.others:.1f}, {two.others:.1f} cores meanwhile"
        out.append(fact | {"note": note})
    return out


def rows() -> list[Row]:
    """The table of this room."""
    with tempfile.TemporaryDirectory(prefix="handoffd-bench-") as folder:
        root, tool = Path(folder), find_ffmpeg()
        return lane_rows(root, tool) + memory_rows(root, tool)
