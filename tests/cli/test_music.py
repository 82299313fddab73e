"""``handoffd music``: a track without a task, by the same handler and the same gates."""

import contextlib
import json
import os
import pty
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

from daemon.cli.music import progress_in_words
from daemon.local_board import BoardConfig
from daemon.local_board.server import BoardServer
from daemon.tour import write_tune
from tests.board import tracks

ROOT = Path(__file__).resolve().parents[2]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def tune(tmp_path: Path) -> Iterator[str]:
    site = tmp_path / "site"
    site.mkdir()
    write_tune(site / "Somebody - A Tune.wav", 3.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/Somebody%20-%20A%20Tune.wav"
    server.shutdown()
    server.server_close()


def handoffd(home: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daemon", "--home", str(home), "music", *argv],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=90,
    )


ALLOWED = {"HANDOFFD_MUSIC__ALLOW_HOSTS": "127.0.0.1"}


def test_a_track_is_synced_without_a_task_and_only_once(tmp_path: Path, tune: str) -> None:
    home = tmp_path / "home"
    first = handoffd(home, "sync", "--url", tune, "--json", **ALLOWED)
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    assert said["status"] == "Completed" and said["track"]["title"] == "A Tune"
    assert {f["format"] for f in said["files"]} == {"m4a", "aiff", "wav", "backup"}
    for file in said["files"]:
        assert Path(file["path"]).stat().st_size == file["bytes"]
        assert abs(file["seconds"] - 3.0) <= 0.05
        assert {"codec", "sha256", "lossy_source"} <= file.keys()
    assert said["cpu_s"] > 0 and said["wall_s"] > 0
    before = {p: p.stat().st_mtime_ns for p in (home / "music").rglob("*.wav")}
    again = handoffd(home, "sync", "--url", tune, "--json", **ALLOWED)
    assert again.returncode == 0, again.stderr
    assert "library already" in json.loads(again.stdout)["result"]
    assert {p: p.stat().st_mtime_ns for p in (home / "music").rglob("*.wav")} == before
    whole = handoffd(home, "library", "verify", "--json", **ALLOWED)
    assert whole.returncode == 0 and json.loads(whole.stdout)["ok"] is True


def test_the_settings_tracks_database_gets_its_row(tmp_path: Path, tune: str) -> None:
    """Through all of it: settings, session, board client, local board, and back."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "board.token").write_text("ntn_of_this_test\n")
    headers = {"Authorization": "Bearer ntn_of_this_test", "Notion-Version": "2025-09-03"}

    def hand(method: str, path: str, body: Any = None) -> dict[str, Any]:
        with httpx.Client(trust_env=False, verify=False, headers=headers) as http:
            said: dict[str, Any] = http.request(method, f"{server.url}/v1/{path}", json=body).json()
        return said

    config = BoardConfig(db=home / "board.db", token="ntn_of_this_test")
    with BoardServer(config) as server:
        database, source = tracks.create(hand)
    env = {**ALLOWED, "HANDOFFD_BOARD__TRACKS_DATABASE_ID": database}
    done = handoffd(home, "sync", "--url", tune, "--json", **env)
    assert done.returncode == 0, done.stderr + done.stdout
    gates = {g["name"]: g["result"] for g in json.loads(done.stdout)["gates"]}
    assert gates["tracks.row"] == "passed"
    with BoardServer(config) as server:
        assert tracks.count(hand, source) == 1


def test_a_dry_run_ends_0_and_is_not_completed(tmp_path: Path, tune: str) -> None:
    home = tmp_path / "home"
    done = handoffd(home, "sync", "--url", tune, "--dry-run", "--json", **ALLOWED)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["status"] == "Review" and said["data"]["dry_run"] is True and not said["files"]
    assert not (home / "music").exists() and not (home / "library.db").exists()


def test_an_address_that_is_not_allowed_ends_1_and_says_how(tmp_path: Path, tune: str) -> None:
    refused = handoffd(tmp_path / "home", "sync", "--url", tune, "--json")
    assert refused.returncode == 1
    said = json.loads(refused.stdout)
    assert said["status"] == "Blocked" and "music.allow_hosts" in said["why"] and not said["files"]


def test_it_wants_exactly_one_source(tmp_path: Path) -> None:
    assert handoffd(tmp_path, "sync").returncode == 2


def test_a_terminal_shows_what_is_being_done(tmp_path: Path, tune: str) -> None:
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "daemon", "--home", str(tmp_path / "home"), "music", "sync", "--url", tune]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", **ALLOWED}
    process = subprocess.Popen([*argv, "--json"], env=env, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and json.loads(said)["status"] == "Completed"
    assert b"download" in shown, shown[-500:]  # steps shorter than a repaint may be passed over


def test_how_far_a_step_is_in_words() -> None:
    assert progress_in_words({"done": 1, "total": 4, "note": "downloading"}) == "25 % downloading"
    assert progress_in_words({"done": 1, "total": 0, "note": "x"}) == progress_in_words(None) == ""


def test_a_playlist_is_not_taken_for_a_track(tmp_path: Path) -> None:
    address = "https://open.spotify.com/playlist/37i9dQZF1DXcBWIGoYBM5M"
    refused = handoffd(tmp_path / "home", "sync", "--url", address, "--json")
    assert refused.returncode == 1 and "it is a playlist" in json.loads(refused.stdout)["result"]
