"""``handoffd mcp`` over real stdio, with the official client: a handoff answered by tools alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters, stdio_client

from daemon.core.errors import ExitCode

ROOT = Path(__file__).parents[2]
VERBS = {"list", "show", "ack", "beat", "ask", "return", "refuse", "verify_receipt"}


def handoffd(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daemon", "--home", str(home), *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@asynccontextmanager
async def speaking(home: Path) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """A call of a tool by its verb: what it gave, or the text of its error."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "daemon", "--home", str(home), "mcp", "--agent", "cursor"],
        env={"PATH": os.environ["PATH"]},
        cwd=ROOT,
    )
    async with Client(stdio_client(server)) as client:

        async def call(verb: str, **arguments: Any) -> Any:
            result = await client.call_tool(f"handoff_{verb}", arguments)
            if result.is_error:
                return result.content[0].text
            return result.structured_content

        tools = (await client.list_tools()).tools
        assert {t.name for t in tools} == {f"handoff_{v}" for v in VERBS}
        assert all(t.description for t in tools)
        yield call


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """One agent, one handoff in its inbox."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "handoffd.toml").write_text('[agents.cursor]\nrendering = "cursor"\nmin_evidence_bytes = 10\n')
    check = 'check.AC1={use = "file", path = "greeting.txt", contains = "hello", min_bytes = 10}'
    words = ("--handler", "handoff", "--agent", "cursor", "--criteria", "AC1 greeting.txt says hello")
    added = handoffd(home, "task", "add", "Write a greeting", *words, "--param", check)
    assert added.returncode == 0, added.stderr
    done = handoffd(home, "run", "--once", "--no-web")
    assert done.returncode == 0, done.stderr
    return home


def test_a_handoff_is_answered_by_tools_and_ends_as_completed(home: Path) -> None:
    async def answer() -> tuple[str, str]:
        async with speaking(home) as call:
            (packet,) = (await call("list", state="submitted"))["handoffs"]
            which = packet["task_id"]
            shown = await call("show", packet=which)
            assert shown["packet"]["acceptance"][0]["id"] == "AC1"
            taken = await call("ack", packet=which, understood="write hello", plan_steps=["write"])
            assert taken == {"wrote": f"{packet['path']}/ACK.json", "state": "submitted"}
            assert "cursor has acknowledged" in await call(
                "ack", packet=which, agent="x", understood="I take it too"
            )
            await call("beat", packet=which, note="half", percent=50)
            workspace = Path(shown["packet"]["workspace"]["path"])
            (workspace / "greeting.txt").write_text("hello to all of you\n")
            returned = await call("return", packet=which, summary="Written.", changed=["greeting.txt"])
            assert returned["wrote"].endswith("/RETURN.json")
            return which, packet["path"]

    which, path = asyncio.run(answer())
    ack = json.loads((Path(path) / "ACK.json").read_text())
    assert (ack["agent"], ack["understood"], ack["plan_steps"]) == ("cursor", "write hello", ["write"])
    for _ in range(
        3
    ):  # one thing that arrived is dealt with in each stretch: the acknowledgement, the return
        assert handoffd(home, "run", "--once", "--no-web").returncode == 0
        task = json.loads(handoffd(home, "task", "show", which, "--json").stdout)
        if task["status"] != "Waiting" and task["status"] != "In Progress":
            break
    assert task["status"] == "Completed", task["why"]

    async def look() -> None:
        async with speaking(home) as call:
            after = await call("show", packet=path)
            assert (after["state"], Path(after["path"]).parent.name) == ("completed", "02_processed")
            checked = await call("verify_receipt", path=after["path"])
            assert checked["ok"] is True and "own hash" in checked["checked"]
            assert "has ended: completed" in await call("refuse", packet=which, code="unsafe", reason="no")

    asyncio.run(look())


def test_a_question_goes_out_and_its_answer_comes_back(home: Path) -> None:
    async def ask() -> None:
        async with speaking(home) as call:
            (packet,) = (await call("list"))["handoffs"]
            which = packet["name"]
            asked = await call("ask", packet=which, need="Which tone?", options=["warm", "cool"])
            assert asked == {"wrote": f"{packet['path']}/QUESTION-1.json", "state": "input_required"}
            assert handoffd(home, "handoff", "answer", which, "1", "warm").returncode == 0
            shown = await call("show", packet=which)
            assert shown["answers"] == {"ANSWER-1": "warm"}
            refused = await call("refuse", packet=which, code="out_of_scope", reason="not mine")
            assert refused["wrote"].endswith("/REFUSE.json")

    asyncio.run(ask())


def test_what_is_wrong_is_told_to_the_agent_and_the_server_lives_on(home: Path) -> None:
    async def err() -> None:
        async with speaking(home) as call:
            missing = await call("show", packet="no-such")
            assert "there is no handoff “no-such”" in missing and "hint: " in missing
            (packet,) = (await call("list"))["handoffs"]
            which = packet["name"]
            assert "code" in await call("refuse", packet=which, code="bored", reason="no")
            assert "return/1" in await call("return", packet=which, document={"status": "completed"})
            assert "leaves the workspace" in await call(
                "return", packet=which, summary="x", changed=["../../etc/passwd"]
            )
            assert not (Path(packet["path"]) / "RETURN.json").exists()
            nothing = await call("verify_receipt", path=packet["path"])
            assert nothing["ok"] is False

    asyncio.run(err())


def test_an_unknown_agent_is_refused_before_the_first_word(home: Path) -> None:
    done = handoffd(home, "mcp", "--agent", "nobody")
    assert done.returncode == ExitCode.FAILED
    assert done.stdout == ""
    assert "registered: cursor" in done.stderr


def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    """As where `make install` alone was run: the package is not there."""
    code = "import sys; sys.modules['mcp'] = None; from daemon.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "mcp"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HANDOFFD_HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == ExitCode.CONFIG
    assert "needs the extra “mcp”" in done.stderr and 'pip install "handoffd[mcp]"' in done.stderr
    assert done.stdout == ""


def test_ctrl_c_ends_it_though_it_waits_for_a_word(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "daemon", "--home", str(tmp_path), "mcp"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    hello = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    try:
        server.stdin.write(json.dumps(hello).encode() + b"\n")
        server.stdin.flush()
        assert server.stdout.readline()  # it speaks, so it waits for the next word now
        server.send_signal(signal.SIGINT)
        assert server.wait(10) == 130
    finally:
        server.kill()
        server.communicate()
