"""Binding and the doctor's proposal: pure, over schemas as the API gives them."""

from __future__ import annotations

import itertools
import tomllib
from typing import Any

import pytest

from daemon.board.columns import SPECS
from daemon.board.doctor import propose
from daemon.board.schema import bind, near
from daemon.core.errors import ConfigError
from daemon.core.status import Status

_ids = itertools.count()
STATUSES = [s.value for s in Status]


def prop(kind: str, *options: str, id_: str = "") -> dict[str, Any]:
    inner: dict[str, Any] = {}
    if kind in ("select", "status", "multi_select"):
        inner = {"options": [{"id": f"o-{name}", "name": name, "color": "gray"} for name in options]}
    return {"id": id_ or f"p{next(_ids)}", "type": kind, kind: inner}


def full(**changes: dict[str, Any] | None) -> dict[str, Any]:
    """Every key with its first type; ``changes`` by property name (None: without it)."""
    made = {s.name: prop(s.types[0], *(STATUSES if s.key == "status" else ())) for s in SPECS.values()}
    made.update({name: value for name, value in changes.items() if value is not None})
    return {k: v for k, v in made.items() if k not in changes or changes[k] is not None}


def problems(*args: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        bind(*args)
    assert caught.value.hint
    return caught.value.problems


def test_every_key_by_its_default_name() -> None:
    binding = bind(full(), {}, {})
    assert set(binding.columns) == set(SPECS)
    assert binding.status_name(Status.READY) == "Ready"


@pytest.mark.parametrize(("key", "kind"), [(s.key, t) for s in SPECS.values() for t in s.types])
def test_AT_16_every_accepted_type(key: str, kind: str) -> None:
    options = STATUSES if key == "status" else ()
    binding = bind(full(**{SPECS[key].name: prop(kind, *options)}), {}, {})
    assert binding.columns[key].type == kind


def test_only_title_and_status_are_needed() -> None:
    binding = bind({"Name": prop("title"), "Status": prop("select", *STATUSES)}, {}, {})
    assert set(binding.columns) == {"title", "status"}
    assert set(binding.missing) == set(SPECS) - {"title", "status"}


def test_all_that_is_wrong_is_said_at_once() -> None:
    properties = full(Status=prop("status", "Ready", "in progress", "Complete"), Claim=prop("number"))
    found = problems(properties, {"resultt": "x", "report": "Berichte"}, {"Redy": "Los"})
    text = "\n".join(found)
    assert "board.properties.resultt is not a key; did you mean result?" in text
    assert "report: there is no property “Berichte”" in text
    assert "claim: “Claim” has type number; make it rich_text" in text
    assert "has no option “In Progress”; it has “Ready”, “in progress”, “Complete”" in text
    assert 'board.status."In Progress" = "in progress"' in text
    assert 'board.status."Completed" = "Complete"' in text
    assert "board.status.Redy is not a status" in text
    assert len(found) == 10


def test_AT_5_names_from_the_settings() -> None:
    properties = full(Status=prop("status", *[s for s in STATUSES if s != "Completed"], "Done"))
    binding = bind(properties, {}, {"completed": "Done"})
    assert binding.status_name(Status.COMPLETED) == "Done"
    assert binding.canonical("o-Done", "Done") is Status.COMPLETED


def test_a_key_can_be_switched_off() -> None:
    assert not bind(full(), {"report": ""}, {}).has("report")


def test_one_option_for_two_active_statuses_is_refused() -> None:
    (found,) = problems(full(), {}, {"Waiting": "In Progress"})
    assert "options of their own" in found


def test_two_keys_on_one_property_are_refused() -> None:
    (found,) = problems(full(), {"why": "Result"}, {})
    assert "both are bound to “Result”" in found


def test_renames_are_followed_by_id() -> None:
    before = full()
    pinned = bind(before, {}, {})
    after = dict(before)
    after["Zustand"] = after.pop("Status")
    after["Zustand"]["status"]["options"] = [
        {**o, "name": "Bereit"} if o["name"] == "Ready" else o for o in after["Zustand"]["status"]["options"]
    ]
    binding = bind(after, {}, {}, pinned)
    assert binding.columns["status"].name == "Zustand"
    assert binding.status_name(Status.READY) == "Bereit"
    assert binding.renamed == (
        "property “Status” is now “Zustand”",
        "status option “Ready” is now “Bereit”",
    )


def test_a_property_made_anew_under_its_name_is_taken() -> None:
    pinned = bind(full(), {}, {})
    assert bind(full(), {}, {}, pinned).columns["why"].id != pinned.columns["why"].id


def test_near_names() -> None:
    assert near("Item-Type", ["x", "item type"]) == "item type"
    assert near("Sucess Criteria", ["Success Criteria"]) == "Success Criteria"
    assert near("abc", ["xyz"]) is None


def incumbent() -> dict[str, Any]:
    """A board like the one that is to be replaced (incumbent study §1.2): 200+ properties."""
    made = {
        "Task Name": prop("title", id_="title"),
        "Status": prop(
            "status", "Draft", "Planning", "Ready", "In Progress", "Complete", "Blocked", "Review", "Archived"
        ),
        "Priority": prop("select", "Critical", "High", "Medium", "Low"),
        "Description": prop("rich_text"),
        "Assigned-Agent ": prop("rollup"),
        "Assigned-Agent": prop("relation"),
        "Task Type": prop("select"),
        "item-type": prop("select"),
        "Item-Type": prop("select"),
        "Next Required Step": prop("rich_text"),
        "Success Criteria": prop("rich_text"),
        "Target Date": prop("date"),
        "Prerequisite Tasks": prop("relation"),
        "Blocking Reason": prop("rich_text"),
        "Execution-Result": prop("rich_text"),
        "Report": prop("number"),
        "Retry Count": prop("number"),
        "Archive": prop("checkbox"),
        "Type": prop("rich_text"),
    }
    made.update({f"MCP Field {i}": prop("rich_text") for i in range(90)})
    made.update({f"Governance {i}": prop("select") for i in range(100)})
    assert len(made) > 200
    return made


def test_the_doctor_maps_a_board_of_200_properties() -> None:
    found = propose(incumbent())
    names = {key: choice.name for key, choice in found.properties.items()}
    assert names == {
        "title": "Task Name",
        "status": "Status",
        "priority": "Priority",
        "description": "Description",
        "agent": "Assigned-Agent",
        "task_type": "Task Type",
        "next_step": "Next Required Step",
        "acceptance": "Success Criteria",
        "due": "Target Date",
        "after": "Prerequisite Tasks",
        "why": "Blocking Reason",
        "result": "Execution-Result",
        "attempts": "Retry Count",
    }
    assert found.properties["agent"].others == ("Assigned-Agent ",)
    assert found.statuses["Completed"].name == "Complete"
    fixes = "\n".join(found.fixes)
    assert "add the option “Failed” to “Status”" in fixes
    assert "add the option “Waiting” to “Status”" in fixes
    assert "report: “Report” has type number" in fixes
    assert "“Item-Type”, “item-type” differ only in case" in fixes
    assert "“Assigned-Agent ” has spaces at its end" in fixes
    assert "claim: to have the claim on the page" in fixes
    assert found.off["handler"]


def test_the_proposed_settings_bind_once_the_fixes_are_made() -> None:
    board = incumbent()
    found = propose(board)
    settings = tomllib.loads(found.settings())["board"]
    assert settings["properties"]["why"] == "Blocking Reason"
    options = board["Status"]["status"]["options"]
    options.extend({"id": f"o-{n}", "name": n, "color": "gray"} for n in ("Failed", "Waiting"))
    settings["properties"]["report"] = ""
    binding = bind(board, settings["properties"], settings["status"])
    assert binding.columns["result"].name == "Execution-Result"
    assert binding.status_name(Status.COMPLETED) == "Complete"


def test_our_own_schema_needs_nothing() -> None:
    found = propose(full())
    assert found.settings() == ""
    assert found.fixes == ()
    assert {c.confidence for c in found.properties.values()} == {1.0}


def test_a_database_without_a_status_is_told_so() -> None:
    found = propose({"Name": prop("title")})
    assert any("add a property “Status”" in fix and "nothing works" in fix for fix in found.fixes)
