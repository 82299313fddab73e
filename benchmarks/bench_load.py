"""Load: 10,000 Ready tasks at once on the real store, in virtual time: memory, ticks, order"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from benchmarks.table import Row
from daemon import resources
from daemon.core import order
from daemon.core.task import Priority
from daemon.simulate.behaviour import Plan
from daemon.simulate.host import default_policy
from daemon.simulate.world import Setup, World
from daemon.store import Store, open_engine
from daemon.web import WebParts, WebServer

TASKS = 10_000
WORKED_OFF_S = 120.0
"""Virtual seconds of work, after the first look."""

LOOKED_AT_S = 8.0
"""Real seconds for which a person looks at the dashboard meanwhile."""


def rss_mb() -> float:
    """Resident memory of this process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def looked_at_meanwhile(world: World, folder: Path) -> list[float]:
    """Seconds of each answer of the real dashboard, asked again and again while the daemon works on."""
    host = world.hosts[0]
    parts = WebParts(
        store=host.store,
        snapshot=lambda: host.tick.snapshot,
        clock=world.agenda.clock,
        refresh=lambda: None,
        metrics=lambda: b"",
        reports=folder / "reports",
        templates=resources.templates() / "web",
        version="bench",
        host_name="bench",
        local=True,
        board=None,
        token=None,
        local_board=None,
        notion_webhook_secret=None,
        on_webhook=None,
        music_webhook=None,
        readiness=list,
    )
    server = WebServer(parts, "127.0.0.1", 0)
    server.start()
    took: list[float] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60.0) as client:
            while not over.is_set():
                began = time.monotonic()
                client.get("/").raise_for_status()
                took.append(time.monotonic() - began)
                over.wait(0.1)

    person = threading.Thread(target=ask)
    person.start()
    try:
        end = time.monotonic() + LOOKED_AT_S
        while time.monotonic() < end:
            world.run(10.0)
    finally:
        over.set()
        person.join()
        server.stop()
    return took


def rows() -> list[Row]:
    """The table of this room. The board's 10,000 pages are in this process too, and are counted before."""
    with tempfile.TemporaryDirectory(prefix="handoffd-bench-") as folder:

        def on_disk(clock: Callable[[], float], store_id: str) -> Store:
            return Store(open_engine(f"sqlite:///{folder}/{store_id}.db"), clock, store_id)

        world = World(
            Setup(seed=1, weights={"done": 1.0}, hosts=(default_policy(concurrency=2),), jitter=0.0), on_disk
        )
        ranks = list(Priority)
        for number in range(TASKS):
            world.add(f"task {number}", Plan(seconds=(5.0,)), priority=ranks[number % 4])
        wanted = [t.id for t in sorted(world.board.pages.values(), key=order.key)]
        before = rss_mb()
        world.boot()
        world.run(1.0)
        looked = rss_mb()
        tick, took = world.hosts[0].tick, []
        real = tick.run

        def timed() -> object:
            began = time.monotonic()
            try:
                return real()
            finally:
                took.append(time.monotonic() - began)

        tick.run = timed  # type: ignore[method-assign, assignment]  # measured from outside
        world.run(WORKED_OFF_S)
        after = rss_mb()
        answers = looked_at_meanwhile(world, Path(folder))
        taken = [t for _, t in world.claims]
        in_order = taken == wanted[: len(taken)]
        world.hosts[0].store.close()
    return [
        {
            "name": "memory for 10,000 decisions after the first look",
            "ours": looked - before,
            "unit": "MB",
            "limit": "90 MB",
            "held": looked - before <= 90,
        },
        {
            "name": f"memory added while {len(taken)} of them are worked off",
            "ours": after - looked,
            "unit": "MB",
            "limit": "40 MB",
            "held": after - looked <= 40,
        },
        {
            "name": f"dashboard's overview while it works, slowest of {len(answers)}",
            "ours": max(answers),
            "unit": "s",
            "limit": "2 s",
            "held": max(answers) <= 2.0,
        },
        {"name": "one tick over 10,000 Ready, median", "ours": statistics.median(took), "unit": "s"},
        {
            "name": "claims out of order",
            "ours": 0 if in_order else 1,
            "unit": "",
            "limit": "0",
            "held": in_order,
        },
    ]
