"""The runner of the benchmarks: nothing that a room started is left, and the page says what was measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.table import page, times

ROOT = Path(__file__).parents[2]
HANGING = """
import subprocess, sys, time
from benchmarks import families
families.adopt_orphans()
inner = (
    "import subprocess, sys; p = subprocess.Popen(['sleep', '600'], stdout=-3, start_new_session=True);"
    "print(p.pid)"
)
neighbour = subprocess.Popen(["sleep", "600"])
others = frozenset({neighbour.pid})
room = subprocess.Popen([sys.executable, "-c", inner], stdout=subprocess.PIPE, start_new_session=True)
orphan = int(room.communicate()[0])
families.end(room.pid, others)
print(orphan, neighbour.poll())
neighbour.kill()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are only found where there is /proc")
def test_an_orphan_in_a_session_of_its_own_is_ended_and_what_was_there_before_is_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    found, neighbour = done.stdout.split()
    orphan = int(found)
    assert neighbour == "None", "it still ran"
    until = time.monotonic() + 30
    while Path(f"/proc/{orphan}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    with pytest.raises(ProcessLookupError):
        os.kill(orphan, 0)


def test_a_room_that_fails_is_a_failure_with_its_exit_code() -> None:
    server = subprocess.Popen(["sleep", "600"])  # as a server that another test's fixture started
    room = bench.measure("no_such_room", 60)
    assert server.poll() is None, "a room's end reaches only what the room started"
    server.kill()
    server.wait()
    assert room.failure == "ended with code 1"
    assert "Failed: ended with code 1." in bench.document([room], "2026-01-01")


def test_rooms_are_found_by_their_file_name() -> None:
    assert "bench_music" in bench.rooms()
    assert all(name.startswith("bench_") for name in bench.rooms())


def test_a_limit_that_is_not_held_shows_on_the_page() -> None:
    lines = page(
        "A room", [{"name": "a|b", "ours": 4.0, "unit": "s", "peer": 2.0, "limit": "1 s", "held": False}]
    )
    assert lines[-2] == "| a\\|b | 4 s | 2 s: | 2.00 × |  | 1 s **not held** |  |"
    assert times(1.0, 0) == ""
