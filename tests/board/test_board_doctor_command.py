"""``handoffd doctor`` and ``init`` against an existing database of 200+ properties on a real board."""

from __future__ import annotations

import json
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from daemon.board.candidates import find
from daemon.board.repair import apply
from daemon.cli.app import run
from daemon.core.errors import PermanentError
from daemon.core.status import Status
from tests.board import incumbent as grown
from tests.board.conftest import TOKEN, Bench, Words

OPTIONS = ("Draft", "Planning", "Ready", "In-Progress", "Complete", "Blocked", "Review", "Archived")


def incumbent() -> dict[str, Any]:
    """The schema of a board that grew for years: 12 properties in use among 200."""
    made: dict[str, Any] = {
        "Task Name": {"title": {}},
        "Status": {"select": {"options": [{"name": name, "color": "blue"} for name in OPTIONS]}},
        "Priority": {"select": {"options": [{"name": "High"}, {"name": "Low"}]}},
        "Description": {"rich_text": {}},
        "Assigned-Agent": {"multi_select": {}},
        "Assigned-Agent ": {"rich_text": {}},
        "Task Type": {"select": {}},
        "item-type": {"select": {}},
        "Item-Type": {"select": {}},
        "Next Required Step": {"rich_text": {}},
        "Success Criteria ": {"rich_text": {}},
        "Target Date": {"date": {}},
        "Blocking Reason": {"rich_text": {}},
        "Execution-Result": {"rich_text": {}},
        "Report": {"number": {}},
        "MCP Retry Count": {"number": {}},
        "Archive": {"checkbox": {}},
    }
    return made


@pytest.fixture
def huge(bench: Bench) -> dict[str, Any]:
    """The whole database, as the API answered its creation."""
    parent = bench.hand("GET", f"databases/{bench.database}")["parent"]
    return grown.make(bench.hand, parent, status="select", options=OPTIONS)


@pytest.fixture
def old(bench: Bench) -> dict[str, Any]:
    """The part of it that matters: made ten times as fast."""
    return made_of(bench, incumbent())


def made_of(bench: Bench, properties: dict[str, Any]) -> dict[str, Any]:
    parent = bench.hand("GET", f"databases/{bench.database}")["parent"]
    body = {
        "parent": parent,
        "title": [{"text": {"content": "Old Agent-Tasks"}}],
        "initial_data_source": {"properties": properties},
    }
    return bench.hand("POST", "databases", body)


def schema(bench: Bench, database: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bench.hand("GET", f"data_sources/{database['data_sources'][0]['id']}")[
        "properties"
    ]
    return found


def writes(bench: Bench) -> list[str]:
    return [path for path in bench.relay.paths() if path.startswith("PATCH") or path.endswith("/pages")]


def test_doctor_proposes_and_changes_nothing(
    bench: Bench, huge: dict[str, Any], cli: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOFFD_BOARD__DATABASE_ID", huge["id"])
    before = schema(bench, huge)
    code, out, _ = cli("doctor")
    assert code == 1
    assert "✗ board: status: “Status” has no option “In Progress”" in out
    assert 'acceptance = "Success Criteria "  # 0.95' in out
    assert 'why = "Blocking Reason"  # 0.75, a usual other name' in out
    assert '"Completed" = "Complete"' in out
    assert "“Item-Type”, “item-type” differ only in case" in out
    assert "add the option “Failed” to “Status”" in out
    assert "doctor --apply adds it" in out
    assert writes(bench) == []
    assert schema(bench, huge) == before


def test_doctor_apply_adds_what_it_printed_and_the_mapping_then_binds(
    bench: Bench, huge: dict[str, Any], cli: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOFFD_BOARD__DATABASE_ID", huge["id"])
    before = schema(bench, huge)
    printed = json.loads(cli("doctor", "--json")[1])["proposal"]
    bench.relay.forget()
    done = json.loads(cli("doctor", "--apply", "--json")[1])
    assert done["applied"] == printed["additions"]
    assert done["proposal"]["additions"] == []
    assert writes(bench) == ["PATCH /v1/data_sources/*"]
    after = schema(bench, huge)
    for name, config in before.items():
        assert after[name]["id"] == config["id"]
        if name != "Status":
            assert after[name] == config
    options = after["Status"]["select"]["options"]
    assert options[: len(OPTIONS)] == before["Status"]["select"]["options"]
    assert {o["name"] for o in options} - set(OPTIONS) == {"Failed", "Waiting"}
    added = set(after) - set(before)
    assert {"Claim", "Parameters", "ID", "Source Key"} <= added
    assert "Report 2" not in added
    (tmp_path / "home" / "handoffd.toml").write_text(printed["toml"])
    code, out, _ = cli("doctor")
    assert code == 0, out
    assert "proposed" not in out
    bench.relay.forget()
    assert json.loads(cli("doctor", "--apply", "--json")[1])["applied"] == []
    assert writes(bench) == []


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done"])
def test_a_lost_answer_to_the_change_of_the_schema(
    bench: Bench, old: dict[str, Any], cli: Words, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    monkeypatch.setenv("HANDOFFD_BOARD__DATABASE_ID", old["id"])
    bench.relay.rule("PATCH", "/v1/data_sources/", status=502, body="<html>", after=after)
    done = json.loads(cli("doctor", "--apply", "--json")[1])
    assert len(done["applied"]) > 5
    options = [o["name"] for o in schema(bench, old)["Status"]["select"]["options"]]
    assert options == [*OPTIONS, "Failed", "Waiting"]


def test_pain_22_options_are_joined_never_replaced(bench: Bench, old: dict[str, Any]) -> None:
    """A person added an option between proposal and --apply: it stays, and rows keep their values."""
    source = old["data_sources"][0]["id"]
    board = bench.board(database_id=old["id"])
    _, proposal = board.proposal()
    page = {
        "parent": {"type": "data_source_id", "data_source_id": source},
        "properties": {"Status": {"select": {"name": "Someday"}}},
    }
    row = bench.hand("POST", "pages", page)["id"]
    apply(board.transport, source.replace("-", ""), proposal.additions)
    names = [o["name"] for o in schema(bench, old)["Status"]["select"]["options"]]
    assert names == [*OPTIONS, "Someday", "Failed", "Waiting"]
    assert bench.hand("GET", f"pages/{row}")["properties"]["Status"]["select"]["name"] == "Someday"


def test_pain_22_an_option_added_while_the_change_had_to_wait_stays(
    bench: Bench, old: dict[str, Any]
) -> None:
    """The list of options is the whole list: after a wait it is read again before it is written."""
    source = old["data_sources"][0]["id"]
    board = bench.board(database_id=old["id"])
    _, proposal = board.proposal()

    def add() -> None:
        properties = {"Status": {"select": {"name": "Someday"}}}
        parent = {"type": "data_source_id", "data_source_id": source}
        bench.hand("POST", "pages", {"parent": parent, "properties": properties})

    wait = {"status": 429, "headers": {"Retry-After": "1"}, "body": {"code": "rate_limited", "message": "no"}}
    bench.relay.rule("PATCH", "/v1/data_sources/", then=add, **wait)
    apply(board.transport, source.replace("-", ""), proposal.additions)
    names = [o["name"] for o in schema(bench, old)["Status"]["select"]["options"]]
    assert names == [*OPTIONS, "Someday", "Failed", "Waiting"]


def test_a_board_that_lost_an_option_over_the_change_is_told(bench: Bench, old: dict[str, Any]) -> None:
    board = bench.board(database_id=old["id"])
    source, proposal = board.proposal()

    def without(answer: dict[str, Any]) -> dict[str, Any]:
        del answer["properties"]["Status"]["select"]["options"][0]
        return answer

    bench.relay.rule("GET", "/v1/data_sources/", pass_on=True)
    bench.relay.rule("GET", "/v1/data_sources/", edit=without)
    with pytest.raises(PermanentError) as caught:
        apply(board.transport, source.id, proposal.additions)
    assert "“Status” lost the option “Draft”" in caught.value.problems


def test_init_lists_what_the_token_can_see_and_makes_nothing(
    bench: Bench, old: dict[str, Any], cli: Words
) -> None:
    code, out, err = cli("init")
    assert code == 0, err
    assert old["id"].replace("-", "") in out
    best = tomllib.loads(out[out.index("[board]") :])["board"]["database_id"]
    found = find(bench.board().transport)
    assert best == found[0].database
    assert found[0].score > next(c.score for c in found if c.title == "Old Agent-Tasks") > 0.35
    assert writes(bench) == []


def test_init_without_any_task_list_says_how_to_share_or_make_one(bench: Bench, cli: Words) -> None:
    empty = {"object": "list", "results": [], "has_more": False, "next_cursor": None}
    bench.relay.rule("POST", "/v1/search", status=200, body=empty)
    code, _, err = cli("init")
    assert code == 78
    assert "Connections" in err
    assert "init --create --page" in err


def test_a_database_without_a_status_is_no_candidate(bench: Bench) -> None:
    parent = bench.hand("GET", f"databases/{bench.database}")["parent"]
    body = {
        "parent": parent,
        "title": [{"text": {"content": "Recipes"}}],
        "initial_data_source": {"properties": {"Name": {"title": {}}, "Priority": {"select": {}}}},
    }
    bench.hand("POST", "databases", body)
    assert "Recipes" not in {c.title for c in find(bench.board().transport)}


def test_settings_are_told_with_their_origin_and_secrets_are_not(
    bench: Bench, cli: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOFFD_BOARD__DATABASE_ID", bench.database)
    code, out, _ = cli("doctor")
    assert code == 0, out
    assert f'setting: board.database_id = "{bench.database}" from HANDOFFD_BOARD__DATABASE_ID' in out
    assert "secret: notion_token from NOTION_TOKEN" in out
    assert TOKEN not in out


class Silent(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name that http.server has
        """Quiet."""


def test_spotify_and_eagle_are_asked_only_when_they_are_configured(
    bench: Bench, cli: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOFFD_BOARD__DATABASE_ID", bench.database)
    assert "Spotify" not in cli("doctor")[1]
    with HTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setenv("HANDOFFD_SPOTIFY__BASE_URL", f"http://127.0.0.1:{server.server_port}")
        code, out, _ = cli("doctor")
        thread.join(5)
    assert code == 0
    assert f"✓ Spotify: http://127.0.0.1:{server.server_port} answers (401)" in out
    code, out, _ = cli("doctor")
    assert code == 1
    assert "✗ Spotify" in out
    assert "fix: check the network" in out


def test_our_statuses_are_all_found_on_our_own_board(bench: Bench) -> None:
    _, found = bench.board().proposal()
    assert set(found.statuses) == {s.value for s in Status}
    assert found.asked
    assert found.fixes == ()


def test_a_fresh_local_home_has_nothing_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HANDOFFD_CONFIG", "CREDENTIALS_DIRECTORY", "NOTION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert run(["doctor", "--json", "--home", str(tmp_path / "home")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    assert found["proposal"]["fixes"] == []
