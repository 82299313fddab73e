"""The doctor against a database that grew over years, and the work on it afterwards: on a real board."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from daemon.board.pins import PinFile
from daemon.core import ids
from daemon.core.ports import PageWrite
from daemon.core.status import Status
from tests.board import incumbent
from tests.board.conftest import Bench, Words, claim

KINDS = [("status", "relation"), ("status", "rollup"), ("select", "relation")]


@pytest.fixture
def grown(bench: Bench, request: pytest.FixtureRequest) -> dict[str, Any]:
    status, agent = request.param
    parent = bench.hand("GET", f"databases/{bench.database}")["parent"]
    made = incumbent.make(bench.hand, parent, status=status, agent=agent)
    bench.database, bench.source = made["id"], made["data_sources"][0]["id"]
    return {**made, "status": status, "agent": agent}


def schema(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = bench.hand("GET", f"data_sources/{bench.source}")["properties"]
    return found


def row(bench: Bench, grown: dict[str, Any], status: str, **properties: Any) -> str:
    """A row of the grown board, with an agent."""
    agents = {"type": "data_source_id", "data_source_id": grown["agents"]["data_sources"][0]["id"]}
    named = {"Name": {"title": [{"text": {"content": "Codex MM1"}}]}}
    agent = bench.hand("POST", "pages", {"parent": agents, "properties": named})["id"]
    column = "Agent Page" if grown["agent"] == "rollup" else "Assigned-Agent"
    values = {
        "Task Name": {"title": [{"text": {"content": "Sync"}}]},
        "Status": {grown["status"]: {"name": status}},
        column: {"relation": [{"id": agent}]},
        **properties,
    }
    parent = {"type": "data_source_id", "data_source_id": bench.source}
    return ids.normalise(bench.hand("POST", "pages", {"parent": parent, "properties": values})["id"])


def once() -> None:
    """The daemon itself, until nothing is left to do."""
    argv = [sys.executable, "-m", "daemon", "run", "--once", "--no-web"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("grown", KINDS, indirect=True, ids=["-".join(k) for k in KINDS])
def test_from_a_grown_database_to_a_task_worked_off_on_it(
    bench: Bench, grown: dict[str, Any], cli: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOFFD_BOARD__DATABASE_ID", bench.database)
    before = schema(bench)
    assert len(before) > 200
    code, out, _ = cli("doctor")
    assert code == 1
    assert "“Complete” says the same as “Completed”" in out
    assert "“Item-Type”, “item-type” differ only in case" in out
    assert "“Success Criteria ” has spaces at its end" in out
    assert 'report = ""  # “Report” has type number' in out
    assert schema(bench) == before  # a doctor looks, and changes nothing

    printed = json.loads(cli("doctor", "--json")[1])["proposal"]
    names = {key: choice["name"] for key, choice in printed["properties"].items()}
    assert names == {
        "title": "Task Name",
        "status": "Status",
        "priority": "Priority",
        "description": "Description",
        "agent": "Assigned-Agent",
        "task_type": "Task Type",
        "next_step": "Next Required Step",
        "acceptance": "Success Criteria ",
        "due": "Target Date",
        "after": "Prerequisite Tasks",
        "why": "Blocking Reason",
        "result": "Execution-Result",
    }
    confidence = {key: choice["confidence"] for key, choice in printed["properties"].items()}
    assert confidence["status"] == 1.0 and confidence["acceptance"] == 0.95 and confidence["why"] == 0.75
    assert printed["status"]["Completed"]["name"] == "Completed"
    assert printed["status"]["Completed"]["others"] == ["Complete"]

    # The two steps that the doctor names, to the letter; nothing else.
    assert json.loads(cli("doctor", "--apply", "--json")[1])["applied"] == printed["additions"]
    (tmp_path / "home" / "handoffd.toml").write_text(printed["toml"])
    code, out, _ = cli("doctor")
    assert code == 0, out
    after = schema(bench)
    assert {name: config for name, config in after.items() if name in before and name != "Status"} == {
        name: config for name, config in before.items() if name != "Status"
    }
    kind = grown["status"]
    assert [o["name"] for o in after["Status"][kind]["options"]] == [*incumbent.OPTIONS, "Failed", "Waiting"]

    settings = tomllib.loads(printed["toml"])["board"]
    board = bench.board(properties=settings["properties"], status=settings.get("status", {}))
    made = row(bench, grown, "Ready")
    done_by_others = row(bench, grown, "Complete")
    (task,) = board.look()
    assert task.id == made and task.agents == ("Codex MM1",)
    assert board.get(done_by_others).status is None  # shown as what it is, never taken for ours
    board.claim(task, claim(), 1)
    board.write(made, claim(), PageWrite(status=Status.COMPLETED, result="r", why="w", claim=claim(lease=0)))
    page = bench.hand("GET", f"pages/{made}")["properties"]
    assert page["Status"][kind]["name"] == "Completed"
    assert page["Execution-Result"]["rich_text"][0]["plain_text"] == "r"


@pytest.mark.parametrize("grown", KINDS[:1], indirect=True, ids=["status-relation"])
def test_renames_are_followed_while_it_runs_and_told_until_the_settings_know(
    bench: Bench, grown: dict[str, Any], cli: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property, option, and the old name given to another property: all in one look of the daemon."""
    monkeypatch.setenv("HANDOFFD_BOARD__DATABASE_ID", bench.database)
    printed = json.loads(cli("doctor", "--apply", "--json")[1])["proposal"]
    toml = printed["toml"]
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "handoffd.toml").write_text(toml)
    settings = tomllib.loads(toml)["board"]["properties"]
    drift: list[str] = []
    pins = PinFile(tmp_path / "home" / "board-pins.json")
    board = bench.board(
        pins=pins, on_drift=lambda renamed, gone: drift.extend(renamed), properties=settings, status={}
    )
    made = row(bench, grown, "Ready")
    (task,) = board.look()
    board.claim(task, claim(), 1)
    bench.schema(
        **{
            "Blocking Reason": {"name": "Old reason"},
            "Status": {"name": "State"},
            "Execution-Result": {"name": "Outcome "},
        }
    )
    bench.schema(**{"Human Actions Required": {"name": "Blocking Reason"}})
    bench.later(901)
    assert [t.id for t in board.look()] == [made]
    board.write(made, claim(), PageWrite(status=Status.COMPLETED, result="r", why="w", claim=claim(lease=0)))
    page = bench.hand("GET", f"pages/{made}")["properties"]
    assert page["State"]["status"]["name"] == "Completed"
    assert page["Outcome "]["rich_text"][0]["plain_text"] == "r"
    assert page["Old reason"]["rich_text"][0]["plain_text"] == "w"
    assert page["Blocking Reason"]["rich_text"] == []
    said = {
        "property “Blocking Reason” is now “Old reason”",
        "property “Status” is now “State”",
        "property “Execution-Result” is now “Outcome ”",
    }
    assert said == set(drift)
    # The daemon has pinned the new names; the settings still have the old ones, and the doctor says so.
    code, out, _ = cli("doctor")
    assert code == 0, out
    for line in ("“Status” (status) is now “State”", "“Blocking Reason” (why) is now “Old reason”"):
        assert line in out
    proposed = json.loads(cli("doctor", "--json")[1])["proposal"]["toml"]
    (tmp_path / "home" / "handoffd.toml").write_text(proposed)
    code, out, _ = cli("doctor")
    assert code == 0 and "is now" not in out


@pytest.mark.parametrize("grown", KINDS[:1], indirect=True, ids=["status-relation"])
def test_a_property_that_the_daemon_saw_go_is_told_by_the_doctor(
    bench: Bench, grown: dict[str, Any], cli: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running daemon goes on without it and records that; the doctor says it as long as it is not back."""
    monkeypatch.setenv("HANDOFFD_BOARD__DATABASE_ID", bench.database)
    proposed = json.loads(cli("doctor", "--apply", "--json")[1])["proposal"]["toml"]
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "handoffd.toml").write_text(proposed)
    once()
    bench.schema(Parameters=None)
    once()
    code, out, _ = cli("doctor")
    assert code == 0, out
    assert "the property for “parameters” went missing" in out
    cli("doctor", "--apply")
    assert "went missing" not in cli("doctor")[1]
