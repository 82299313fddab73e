"""``board serve`` as a program of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from daemon.cli.board import ROOT_PAGE
from daemon.core.errors import ExitCode
from daemon.local_board import DEFAULT_ROOT_PAGE

ROOT = Path(__file__).parents[2]
Start = Any


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def serve(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon", "--home", str(tmp_path), "board", "serve", *words],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield serve
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ask(url: str, token: str, method: str = "GET") -> Any:
    request = urllib.request.Request(url, method=method)
    request.add_header("authorization", f"Bearer {token}")
    request.add_header("notion-version", "2025-09-03")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_one_line_when_ready_and_stops_when_told(start: Start, tmp_path: Path, number: int) -> None:
    process = start("--port", "0", "--token", "secret-token-of-the-test", "--json")
    ready = json.loads(process.stdout.readline())
    assert set(ready) == {"url", "token", "root_page"}
    assert ready["token"] == "secret-token-of-the-test"
    assert ready["root_page"] == ROOT_PAGE == DEFAULT_ROOT_PAGE
    page = ask(f"{ready['url']}/v1/pages/{ROOT_PAGE}", ready["token"])
    assert page["id"] == ROOT_PAGE
    with pytest.raises(HTTPError) as refused:
        ask(f"{ready['url']}/v1/pages/{ROOT_PAGE}", "another-token-entirely")
    assert refused.value.code == 401
    refused.value.close()
    assert (tmp_path / "board.db").exists()
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_clock_root_page_file_and_rate_are_taken(start: Start, tmp_path: Path) -> None:
    root = "11111111-2222-4333-8444-555555555555"
    process = start(
        "--port",
        "0",
        "--db",
        str(tmp_path / "sub" / "x.db"),
        "--root-page",
        root.replace("-", ""),
        "--now",
        "2020-02-03T04:05:00Z",
        "--rate-limit",
        "2/min",
    )  # fmt: skip - one command line
    ready = json.loads(process.stdout.readline())
    assert ready["root_page"] == root
    assert (tmp_path / "sub" / "x.db").exists()
    page = ask(f"{ready['url']}/v1/pages/{root}", ready["token"])
    assert page["created_time"].startswith("2020-02-03T04:05")
    ask(f"{ready['url']}/v1/pages/{root}", ready["token"])
    with pytest.raises(HTTPError) as refused:
        ask(f"{ready['url']}/v1/pages/{root}", ready["token"])
    assert refused.value.code == 429
    refused.value.close()


def test_a_port_that_is_taken_is_75_and_says_so(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]))
        _, err = process.communicate(timeout=10)
    assert process.returncode == ExitCode.TEMPFAIL
    assert "can't listen" in err
    assert "hint:" in err


def test_a_bind_that_others_reach_needs_a_long_token(start: Start) -> None:
    process = start("--host", "0.0.0.0", "--port", "0", "--token", "short")
    _, err = process.communicate(timeout=10)
    assert process.returncode == ExitCode.USAGE
    assert "at least 16" in err
