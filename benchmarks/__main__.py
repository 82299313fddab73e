"""``make bench``: every ``bench_*.py`` beside this file, each in its own process and within a time limit.

A room is a module with a docstring and ``rows()``, which returns what ``benchmarks.table.Row`` describes.
Names on the command line choose rooms. A run of all of them writes ``RESULTS.md``.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import families
from benchmarks.table import Row, page, show

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
ROOM_LIMIT_S = 540.0
WHOLE_LIMIT_S = 1500.0
"""A room is ended at its limit, or when the whole has none of its own left; both count as a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What became of one room; ``failure`` empty = its rows are there."""

    name: str
    title: str
    seconds: float
    rows: list[Row] = field(default_factory=list)
    failure: str = ""


def rooms() -> list[str]:
    """Names of the modules that measure."""
    return sorted(p.stem for p in HERE.glob("bench_*.py"))


def measure(name: str, limit: float) -> Room:
    """Run one room; nothing that it started is left, however it ended."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="handoffd-bench-") as folder:
        target = Path(folder) / "rows.json"
        # What a room makes in the usual places is inside the folder, so that it goes when the room is killed.
        env = {**os.environ, "TMPDIR": folder}
        argv = [sys.executable, "-m", "benchmarks.room", name, str(target)]
        others = frozenset(families.below(os.getpid()))
        process = subprocess.Popen(argv, cwd=HERE.parent, env=env, start_new_session=True)
        failure = ""
        try:
            code = process.wait(max(limit, 1.0))
            failure = f"ended with code {code}" if code or not target.is_file() else ""
        except subprocess.TimeoutExpired:
            failure = f"not done after {limit:.0f} s"
        finally:
            families.end(process.pid, others)
            process.wait()
        took = time.monotonic() - began
        if failure:
            return Room(name=name, title=name, seconds=took, failure=failure)
        said = json.loads(target.read_text())
        return Room(name=name, title=said["title"], seconds=took, rows=said["rows"])


def document(done: list[Room], day: str) -> str:
    """The page of results. Pure."""
    cores, python = os.cpu_count() or 1, platform.python_version()
    total = sum(room.seconds for room in done)
    out = [
        "# Results of `make bench`",
        "",
        f"{day}, {cores} cores, {platform.machine()}, {platform.system()}, Python {python}; "
        f"{total:.0f} s in all. Ours and the peer were measured in the same run. The floor is the physical "
        "limit, or the least work that gives the same; where there is none, none is known.",
        "",
    ]
    for room in done:
        if room.failure:
            out += [f"## {room.title}", "", f"Failed: {room.failure}.", ""]
        else:
            out += page(room.title, room.rows)
    return "\n".join(out)


def main() -> int:
    """Runs the rooms; exits 1 when one failed or a stated limit is not held."""
    wanted = sys.argv[1:] or rooms()
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    families.adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a room's end is reached then, too
    until, done, broken = time.monotonic() + WHOLE_LIMIT_S, [], 0
    for name in wanted:
        print(f"\n{name} …", flush=True)
        room = measure(name, min(ROOM_LIMIT_S, until - time.monotonic()))
        done.append(room)
        print(f"{room.title} ({room.seconds:.0f} s){': ' + room.failure if room.failure else ''}")
        show(room.rows)
        broken += bool(room.failure) + sum(r.get("held") is False for r in room.rows)
    if wanted == rooms():
        RESULTS.write_text(document(done, time.strftime("%Y-%m-%d", time.gmtime())))
        print(f"\nwritten to {RESULTS.relative_to(HERE.parent)}")
    if broken:
        print(f"\n{broken} limit(s) not held, or room(s) that failed")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
