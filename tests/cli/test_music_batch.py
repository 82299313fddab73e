"""A batch through the whole daemon: one task lists the rows, each track has a durable run of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.local_board import BoardConfig
from daemon.local_board.server import BoardServer
from daemon.tour import write_tune
from tests.board import tracks

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "ntn_of_this_test"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "site"
    folder.mkdir()
    for number, name in enumerate(("One", "Two")):
        write_tune(folder / f"Somebody - {name}.wav", 2.0 + number)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def handoffd(home: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daemon", "--home", str(home), *argv],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_a_batch_gives_each_row_a_run_of_its_own_and_makes_none_twice(tmp_path: Path, site: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "board.token").write_text(TOKEN + "\n")
    headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2025-09-03"}

    def hand(method: str, path: str, body: Any = None) -> dict[str, Any]:
        with httpx.Client(trust_env=False, verify=False, headers=headers) as http:
            said: dict[str, Any] = http.request(method, f"{server.url}/v1/{path}", json=body).json()
        return said

    config = BoardConfig(db=home / "board.db", token=TOKEN)
    with BoardServer(config) as server:
        database, source = tracks.create(hand)
        for name in ("One", "Two", "Gone"):
            url = f"{site}/Somebody%20-%20{name}.wav"
            tracks.row(hand, source, name, Artist_Name="Somebody", Source_URL=url)
    env = {
        "HANDOFFD_MUSIC__ALLOW_HOSTS": "127.0.0.1",
        "HANDOFFD_BOARD__TRACKS_DATABASE_ID": database,
        "HANDOFFD_POLL__INTERVAL": "1",
        "HANDOFFD_CLAIM__REST": "0",
    }
    for round_ in (1, 2):
        params = ("--param", "mode=batch", "--param", "source=tracks-db", "--param", "playlist=Late")
        added = handoffd(
            home, "task", "add", f"Sync them, {round_}", "--handler", "music-sync", *params, "--json", **env
        )
        assert added.returncode == 0, added.stderr
        done = handoffd(home, "run", "--once", "--no-web", **env)
        assert done.returncode == 2 - round_, done.stderr[-2000:]  # the row that is gone fails, once
        listed = json.loads(handoffd(home, "task", "list", "--json", **env).stdout)
        ends = {t["title"]: t["status"] for t in listed if "Somebody" in t["title"]}
        assert ends == {
            "Sync Somebody – One": "Completed",
            "Sync Somebody – Two": "Completed",
            "Sync Somebody – Gone": "Failed",
        }
        parents = [t for t in listed if t["title"].startswith("Sync them")]
        assert [t["status"] for t in parents] == ["Completed"] * round_
        runs = [run for t in listed if "Somebody" in t["title"] for run in t["runs"]]
        assert len(runs) == len(set(runs)) >= 3
        files = sorted(str(p.relative_to(home / "music")) for p in (home / "music").rglob("*.wav"))
        assert files == ["Late/Somebody - One.wav", "Late/Somebody - Two.wav"]
