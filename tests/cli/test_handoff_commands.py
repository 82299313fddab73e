"""The handoff verbs on a packet that the daemon itself delivered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from daemon.cli import handoff
from daemon.core.errors import ExitCode
from handlers.handoff import model

ROOT = Path(__file__).parents[2]


class Office:
    """A home with one agent, and one handoff delivered to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        (home / "handoffd.toml").write_text('[agents.cursor]\nrendering = "cursor"\n')
        self.task = self.out(
            "task",
            "add",
            "Write a greeting",
            "--handler",
            "handoff",
            "--agent",
            "cursor",
            "--description",
            "Write hello into greeting.txt.",
            "--criteria",
            "greeting.txt says hello",
        ).strip()  # fmt: skip - one command line
        self.out("run", "--once", "--no-web")
        (self.packet,) = self.listed()
        self.folder = Path(self.packet["path"])

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "daemon", *words],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HANDOFFD_HOME": str(self.home)},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def out(self, *words: str, stdin: str = "") -> str:
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def listed(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out("handoff", "list", "--json", *words))
        return found


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office") / "home")


def test_the_packet_is_found_by_folder_name_run_and_task(office: Office) -> None:
    assert office.packet["agent"] == "cursor"
    assert office.packet["state"] == "submitted"
    for name in (str(office.folder), office.packet["name"], f"{office.task}.g1", office.task):
        shown = json.loads(office.out("handoff", "show", name, "--json"))
        assert shown["path"] == str(office.folder)
    missing = office.run("handoff", "show", f"{office.task}.g2")
    assert missing.returncode == ExitCode.FAILED
    assert "handoff list" in missing.stderr
    assert office.run("handoff", "list", "--agent", "nobody").returncode == ExitCode.FAILED


def test_why_says_what_a_delivered_handoff_waits_for(office: Office) -> None:
    said = json.loads(office.out("why", office.task, "--json"))
    assert said["verdict"] == "waiting"
    assert said["run"] == f"{office.task}.g1"
    assert "cursor" in said["would_change"]


def test_the_verbs_leave_the_files_that_an_agent_would_write(office: Office) -> None:
    folder = str(office.folder)
    said = office.out(
        "handoff", "ack", folder, "--agent", "cursor", "--understood", "write hello", "--step", "x"
    )
    assert said.strip() == f"{folder}/ACK.json"
    ack = json.loads((office.folder / "ACK.json").read_text())
    assert (ack["agent"], ack["understood"], ack["plan_steps"]) == ("cursor", "write hello", ["x"])
    second = office.run("handoff", "ack", folder, "--agent", "codex", "--understood", "I take it too")
    assert second.returncode == ExitCode.FAILED
    assert "cursor has acknowledged" in second.stderr
    office.out("handoff", "beat", folder, "--note", "half", "--percent", "50")
    assert json.loads((office.folder / "HEARTBEAT").read_text())["percent"] == 50
    office.out("handoff", "ask", folder, "--need", "Which tone?", "--option", "warm", "--option", "cool")
    assert office.listed("--state", "input_required")[0]["path"] == folder
    office.out("handoff", "answer", folder, "1", "warm")
    assert json.loads((office.folder / "ANSWER-1.json").read_text())["answer"] == "warm"


def test_a_return_is_built_from_flags_or_taken_whole(office: Office) -> None:
    folder = str(office.folder)
    wrong = office.run("handoff", "return", folder, "--from", "-", stdin="not json")
    assert wrong.returncode == ExitCode.USAGE
    assert "not JSON" in wrong.stderr
    assert office.run("handoff", "return", folder, "--evidence", "AC1").returncode == ExitCode.USAGE
    assert not (office.folder / "RETURN.json").exists()
    office.out("handoff", "return", folder, "--summary", "written", "--not-done", "nothing")
    document = json.loads((office.folder / "RETURN.json").read_text())
    assert (document["summary"], document["status"]) == ("written", "completed")
    again = office.run("handoff", "return", folder, "--from", "-", stdin=json.dumps(document))
    assert again.returncode == ExitCode.FAILED
    assert "being checked" in again.stderr


def test_a_receipt_that_is_not_there_does_not_hold(office: Office) -> None:
    done = office.run("handoff", "verify-receipt", str(office.folder), "--json")
    assert done.returncode == ExitCode.FAILED
    assert json.loads(done.stdout)["ok"] is False


def test_the_choices_are_those_of_the_protocol() -> None:
    assert get_args(model.ReturnStatus) == handoff.STATUSES
    assert get_args(model.RefusalCode) == handoff.CODES


def test_what_ran_is_in_the_digest(office: Office) -> None:
    told = json.loads(office.out("report", "digest", "--since", "1h", "--json"))
    assert told["total"] == 1
    assert told["handlers"][0]["handler"] == "handoff"
