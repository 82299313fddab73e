"""Property values, schemas and pages: what is written, what reads back, what a change of schema does."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from notion_client import APIResponseError, Client

from tests.local_board.conftest import ROOT, make_page, make_source, text


def prop(page: dict[str, Any], name: str) -> Any:
    """The value of a property as served."""
    found = page["properties"][name]
    return found[found["type"]]


def test_dates_lose_seconds_and_zone_names(client: Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "D": {"date": {}}})

    def stored(value: dict[str, Any]) -> Any:
        return prop(make_page(client, source, {"D": {"date": value}}), "D")

    assert stored({"start": "2026-06-27T17:57:32.424991", "time_zone": "Europe/London"}) == {
        "start": "2026-06-27T17:57:00.000+01:00",
        "end": None,
        "time_zone": None,
    }
    assert stored({"start": "2024-11-25T14:08:59Z"})["start"] == "2024-11-25T14:08:00.000+00:00"
    assert stored({"start": "2026-07-01", "end": "2026-07-03"})["end"] == "2026-07-03"


def test_empty_values(client: Client) -> None:
    kinds = [
        "rich_text",
        "number",
        "select",
        "multi_select",
        "status",
        "date",
        "people",
        "files",
        "checkbox",
        "url",
    ]
    kinds += [
        "email",
        "phone_number",
        "place",
        "created_time",
        "last_edited_time",
        "created_by",
        "last_edited_by",
    ]
    source = make_source(
        client, {"Name": {"title": {}}, **{kind: {kind: {}} for kind in kinds}, "ID": {"unique_id": {}}}
    )
    page = make_page(client, source, {})
    for kind in ("rich_text", "multi_select", "people", "files"):
        assert prop(page, kind) == []
    for kind in ("number", "select", "date", "url", "email", "phone_number", "place"):
        assert prop(page, kind) is None
    assert prop(page, "checkbox") is False
    assert prop(page, "status")["name"] == "Not started"
    assert prop(page, "ID") == {"prefix": None, "number": 1}
    assert prop(page, "created_time") == page["created_time"]
    assert prop(page, "created_by")["type"] == "bot"


def test_select_makes_options_and_status_does_not(client: Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "P": {"select": {}}, "T": {"multi_select": {}}})
    page = make_page(
        client,
        source,
        {"P": {"select": {"name": "New"}}, "T": {"multi_select": [{"name": "b"}, {"name": "a"}]}},
    )
    assert [item["name"] for item in prop(page, "T")] == ["b", "a"]
    assert set(prop(page, "P")) == {"id", "name", "color"}
    options = client.data_sources.retrieve(source)["properties"]["P"]["select"]["options"]
    assert options == [{**prop(page, "P"), "description": None}]
    again = make_page(client, source, {"P": {"select": {"id": options[0]["id"]}}})
    assert prop(again, "P")["name"] == "New"


def test_options_are_replaced_and_rows_lose_them(client: Client) -> None:
    source = make_source(
        client, {"Name": {"title": {}}, "P": {"select": {"options": [{"name": "A"}, {"name": "B"}]}}}
    )
    lost = make_page(client, source, {"P": {"select": {"name": "A"}}})["id"]
    kept = make_page(client, source, {"P": {"select": {"name": "B"}}})["id"]
    a, b = client.data_sources.retrieve(source)["properties"]["P"]["select"]["options"]
    client.data_sources.update(
        source, properties={"P": {"select": {"options": [{"name": "Z"}, {"id": b["id"], "name": "renamed"}]}}}
    )
    options = client.data_sources.retrieve(source)["properties"]["P"]["select"]["options"]
    assert [option["name"] for option in options] == ["Z", "B"]  # a rename is a silent no-op
    assert prop(client.pages.retrieve(lost), "P") is None
    assert prop(client.pages.retrieve(kept), "P")["id"] == b["id"]
    found = client.data_sources.query(source, filter={"property": "P", "select": {"equals": "B"}})
    assert [page["id"] for page in found["results"]] == [kept]
    with pytest.raises(APIResponseError, match="Cannot update color of select with id"):
        recolour = [{"id": b["id"], "name": "B", "color": "red"}]
        client.data_sources.update(source, properties={"P": {"select": {"options": recolour}}})
    assert a["name"] == "A"


def test_status_options_and_groups(client: Client) -> None:
    source = make_source(
        client,
        {
            "Name": {"title": {}},
            "S": {
                "status": {
                    "options": [{"name": "Ready"}, {"name": "Done", "group": "Complete", "color": "green"}]
                }
            },
        },
    )
    config = client.data_sources.retrieve(source)["properties"]["S"]["status"]
    ready, done = config["options"]
    groups = {group["name"]: group["option_ids"] for group in config["groups"]}
    assert groups == {"To-do": [ready["id"]], "In progress": [], "Complete": [done["id"]]}
    page = make_page(client, source, {"S": {"status": {"name": "Done"}}})["id"]
    assert prop(client.pages.update(page, properties={"S": {"status": None}}), "S")["name"] == "Ready"


def test_rename_delete_and_ids(client: Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "Old": {"number": {"format": "dollar"}}})
    page = make_page(client, source, {"Old": {"number": 3}})
    identifier = page["properties"]["Old"]["id"]
    client.data_sources.update(source, properties={"Old": {"name": "New"}})
    page = client.pages.retrieve(page["id"])
    assert page["properties"]["New"] == {"id": identifier, "type": "number", "number": 3}
    client.pages.update(page["id"], properties={identifier: {"number": 4}})
    assert prop(client.pages.retrieve(page["id"], filter_properties=[identifier]), "New") == 4
    client.data_sources.update(source, properties={identifier: None})
    assert list(client.pages.retrieve(page["id"])["properties"]) == ["Name"]
    with pytest.raises(APIResponseError, match="title"):
        client.data_sources.update(source, properties={"Name": None})


def test_a_changed_type_empties_the_column(client: Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "X": {"number": {}}})
    page = make_page(client, source, {"X": {"number": 3}})["id"]
    client.data_sources.update(source, properties={"X": {"rich_text": {}}})
    assert prop(client.pages.retrieve(page), "X") == []
    found = client.data_sources.query(source, filter={"property": "X", "rich_text": {"is_empty": True}})
    assert len(found["results"]) == 1


def test_relations_beyond_25(client: Client, raw: httpx.Client) -> None:
    target = make_source(client, {"Name": {"title": {}}}, "Targets")
    source = make_source(
        client, {"Name": {"title": {}}, "R": {"relation": {"data_source_id": target, "single_property": {}}}}
    )
    ids = [make_page(client, target, {"Name": {"title": text(str(n))}})["id"] for n in range(30)]
    page = make_page(client, source, {"R": {"relation": [{"id": item} for item in ids]}})
    shown = page["properties"]["R"]
    assert ([item["id"] for item in shown["relation"]], shown["has_more"]) == (ids[:25], True)
    first = client.pages.properties.retrieve(page["id"], shown["id"], page_size=20)
    rest = client.pages.properties.retrieve(page["id"], shown["id"], start_cursor=first["next_cursor"])
    assert [item["relation"]["id"] for item in first["results"] + rest["results"]] == ids
    assert first["property_item"]["next_url"].endswith(first["next_cursor"])
    missing = {"relation": [{"id": "95ba0116-6776-4c19-9e45-54e77415f0aa"}]}
    answer = raw.patch(f"/v1/pages/{page['id']}", json={"properties": {"R": missing}})
    assert answer.status_code == 404


def test_two_way_relation(client: Client) -> None:
    people = make_source(client, {"Name": {"title": {}}}, "People")
    dual = {"data_source_id": people, "dual_property": {"synced_property_name": "Tasks"}}
    tasks = make_source(client, {"Name": {"title": {}}, "Who": {"relation": dual}}, "Tasks")
    ada = make_page(client, people, {"Name": {"title": text("Ada")}})["id"]
    task = make_page(client, tasks, {"Who": {"relation": [{"id": ada}]}})["id"]
    assert prop(client.pages.retrieve(ada), "Tasks") == [{"id": task}]
    client.pages.update(ada, properties={"Tasks": {"relation": []}})
    assert prop(client.pages.retrieve(task), "Who") == []
    config = client.data_sources.retrieve(people)["properties"]["Tasks"]["relation"]
    assert config["dual_property"]["synced_property_name"] == "Who"
    client.data_sources.update(tasks, properties={"Who": None})
    assert "Tasks" not in client.data_sources.retrieve(people)["properties"]


ROLLUPS = [
    ("sum", "N", 6), ("average", "N", 2), ("median", "N", 2), ("min", "N", 1), ("max", "N", 3),
    ("range", "N", 2),
    ("count", "N", 4), ("count_values", "N", 3), ("empty", "N", 1), ("not_empty", "N", 3),
    ("percent_empty", "N", 0.25),
    ("checked", "C", 2), ("percent_checked", "C", 0.5), ("unique", "Name", 4),
]  # fmt: skip


def test_rollups(client: Client) -> None:
    target = make_source(
        client, {"Name": {"title": {}}, "N": {"number": {}}, "C": {"checkbox": {}}}, "Targets"
    )
    relation = {"data_source_id": target, "single_property": {}}
    rollups = {
        f"{function} {of}": {
            "rollup": {"relation_property_name": "R", "rollup_property_name": of, "function": function}
        }
        for function, of, _ in ROLLUPS
    }
    source = make_source(client, {"Name": {"title": {}}, "R": {"relation": relation}, **rollups})
    ids = [
        make_page(
            client,
            target,
            {"Name": {"title": text(f"n{n}")}, "N": {"number": n or None}, "C": {"checkbox": n < 2}},
        )["id"]
        for n in range(4)
    ]
    page = make_page(client, source, {"R": {"relation": [{"id": item} for item in ids]}})
    for function, of, expected in ROLLUPS:
        assert prop(page, f"{function} {of}") == {"type": "number", "number": expected, "function": function}


FORMULAS = [
    ('prop("N") * 2 + 1', {"type": "number", "number": 7}),
    ('if(prop("N") > 2, "big", "small")', {"type": "string", "string": "big"}),
    ('prop("Name") + "-" + prop("N")', {"type": "string", "string": "row-3"}),
    ('prop("Name").upper().replaceAll("R", "x")', {"type": "string", "string": "xOW"}),
    ('empty(prop("Nope Text")) and not false', {"type": "boolean", "boolean": True}),
    ('dateAdd(prop("D"), 1, "month")',
     {"type": "date", "date": {"start": "2026-02-28", "end": None, "time_zone": None}}),
    ('dateBetween(prop("D"), parseDate("2026-01-01"), "days")', {"type": "number", "number": 30}),
    ('formatDate(prop("D"), "YYYY/MM/DD")', {"type": "string", "string": "2026/01/31"}),
    ('[3, 1, 2].sort().map(current * 2).join("-")', {"type": "string", "string": "2-4-6"}),
    ('let(x, 5, x ^ 2 % 7)', {"type": "number", "number": 4}),
    ('prop("N") > 1 ? round(10 / 3, 2) : 0', {"type": "number", "number": 3.33}),
    ('1 / 0', {"type": "number", "number": None}),
]  # fmt: skip


def test_formulas(client: Client, raw: httpx.Client) -> None:
    schema: dict[str, Any] = {
        "Name": {"title": {}},
        "N": {"number": {}},
        "D": {"date": {}},
        "Nope Text": {"rich_text": {}},
    }
    formulas = {f"F{n}": {"formula": {"expression": given}} for n, (given, _) in enumerate(FORMULAS)}
    source = make_source(client, {**schema, **formulas})
    values = {"Name": {"title": text("row")}, "N": {"number": 3}, "D": {"date": {"start": "2026-01-31"}}}
    page = make_page(client, source, values)
    for number, (_, expected) in enumerate(FORMULAS):
        assert prop(page, f"F{number}") == expected
    for wrong in ('prop("Gone")', "nonsense(1)", "1 +"):
        body = {"properties": {"Bad": {"formula": {"expression": wrong}}}}
        answer = raw.patch(f"/v1/data_sources/{source}", json=body)
        assert answer.json()["message"].startswith("Type error with formula")


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ('prop("N")', "number"),
        ('prop("N") / 0', "number"),
        ('prop("D")', "date"),
        ('dateAdd(prop("D"), 1, "days")', "date"),
        ('if(prop("N") > 1, prop("D"), "")', "date"),
        ('let(x, prop("D"), dateEnd(x))', "date"),
        ('prop("Name")', "string"),
        ('"a" == prop("Name") ? 1 : prop("N")', "number"),
        ('prop("Inner")', "date"),
    ],
)
def test_an_empty_result_has_its_formulas_type(client: Client, expression: str, kind: str) -> None:
    """The published schema has a null of each type."""
    schema: dict[str, Any] = {"Name": {"title": {}}, "N": {"number": {}}, "D": {"date": {}}}
    source = make_source(client, {**schema, "Inner": {"formula": {"expression": 'dateStart(prop("D"))'}}})
    client.data_sources.update(source, properties={"F": {"formula": {"expression": expression}}})
    shown = make_page(client, source, {})["properties"]["F"]["formula"]
    assert shown == {"type": kind, kind: None}


def test_times_are_minutes_but_for_databases(client: Client, raw: httpx.Client) -> None:
    raw.post("/_board/clock", json={"now": "2026-06-27T17:01:42.987Z"})
    source = make_source(client, {"Name": {"title": {}}})
    shown = client.data_sources.retrieve(source)
    database = client.databases.retrieve(shown["parent"]["database_id"])
    assert shown["created_time"] == "2026-06-27T17:01:00.000Z"
    assert database["created_time"] == "2026-06-27T17:01:42.987+00:00"


def test_ids_sort_by_creation(client: Client) -> None:
    source = make_source(client, {"Name": {"title": {}}})
    ids = [make_page(client, source, {})["id"] for _ in range(20)]
    assert ids == sorted(ids)
    assert all(item[14:16] == "81" and item[19] in "89ab" for item in ids)


def test_filter_properties_in_three_spellings(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "A": {"number": {}}, "B": {"number": {}}})
    make_page(client, source, {})
    for spelling in ("filter_properties=A&filter_properties=title",
                     "filter_properties[]=A&filter_properties[]=title",
                     "filter_properties[0]=A&filter_properties[1]=title"):  # fmt: skip
        results = raw.post(f"/v1/data_sources/{source}/query?{spelling}", json={}).json()["results"]
        assert sorted(results[0]["properties"]) == ["A", "Name"]


def test_page_moves(client: Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "N": {"number": {}}})
    page = make_page(client, source, {"Name": {"title": text("x")}, "N": {"number": 1}})["id"]
    moved = client.pages.move(page, parent={"type": "page_id", "page_id": ROOT})
    assert moved["parent"] == {"type": "page_id", "page_id": ROOT}
    assert list(moved["properties"]) == ["title"]
    assert client.data_sources.query(source)["results"] == []
    back = client.pages.move(page, parent={"type": "data_source_id", "data_source_id": source})
    assert prop(back, "Name")[0]["plain_text"] == "x"
    assert len(client.data_sources.query(source)["results"]) == 1


def test_second_data_source_refuses_database_parent(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, {"Name": {"title": {}}})
    database = client.data_sources.retrieve(source)["parent"]["database_id"]
    client.data_sources.create(
        parent={"database_id": database}, properties={"Name": {"title": {}}}, title=text("two")
    )
    answer = raw.post("/v1/pages", json={"parent": {"database_id": database}, "properties": {}})
    assert answer.json()["additional_data"]["error_type"] == "multiple_data_sources_for_database"
    assert [item["name"] for item in client.databases.retrieve(database)["data_sources"]] == ["Things", "two"]
