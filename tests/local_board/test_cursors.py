"""Cursors of queries: inclusive, bound to a session, alive under concurrent writes, and the
10,000-row end.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from notion_client import Client

from daemon.local_board import query
from tests.local_board.conftest import make_page, make_source, text

SORTS = [{"property": "N", "direction": "ascending"}]


@pytest.fixture
def source(client: Client) -> str:
    made = make_source(client, {"Name": {"title": {}}, "N": {"number": {}}, "Done": {"checkbox": {}}})
    for number in range(10):
        make_page(client, made, {"Name": {"title": text(str(number))}, "N": {"number": number // 2}})
    return made


def numbers(answer: dict[str, Any]) -> list[str]:
    return [page["properties"]["Name"]["title"][0]["plain_text"] for page in answer["results"]]


def test_pages_are_complete_and_without_repeats(client: Client, source: str) -> None:
    for sorts in (None, SORTS, [{"property": "N", "direction": "descending"}]):
        given: dict[str, Any] = {"sorts": sorts} if sorts else {}
        whole = numbers(client.data_sources.query(source, **given))
        seen, cursor = [], None
        while True:
            more = {"start_cursor": cursor} if cursor else {}
            answer = client.data_sources.query(source, page_size=3, **given, **more)
            seen.extend(numbers(answer))
            cursor = answer["next_cursor"]
            if cursor is None:
                break
            assert cursor.startswith("s:")
        assert seen == whole


def test_the_cursor_row_may_move_vanish_or_stop_matching(client: Client, source: str) -> None:
    given: dict[str, Any] = {
        "filter": {"property": "Done", "checkbox": {"equals": False}},
        "sorts": [*SORTS, {"property": "Name", "direction": "ascending"}],
        "page_size": 4,
    }
    first = client.data_sources.query(source, **given)
    assert numbers(first) == ["0", "1", "2", "3"]
    following = first["next_cursor"].split(":")[2]
    client.pages.update(following, properties={"Done": {"checkbox": True}})  # somebody finishes it in between
    second = client.data_sources.query(source, **given, start_cursor=first["next_cursor"])
    assert numbers(second) == ["5", "6", "7", "8"]
    client.pages.update(second["next_cursor"].split(":")[2], in_trash=True)
    third = client.data_sources.query(source, **given, start_cursor=second["next_cursor"])
    assert numbers(third) == []


def test_bare_row_ids_and_empty_cursors(client: Client, source: str, raw: httpx.Client) -> None:
    rows = client.data_sources.query(source)["results"]
    answer = client.data_sources.query(source, start_cursor=rows[4]["id"])
    assert [row["id"] for row in answer["results"]] == [row["id"] for row in rows[4:]]
    assert len(client.data_sources.query(source, start_cursor="")["results"]) == 10
    for wrong in ("bogus", "s:x:y", "95ba0116-6776-4c19-9e45-54e77415f0aa"):
        message = raw.post(f"/v1/data_sources/{source}/query", json={"start_cursor": wrong}).json()["message"]
        assert message == f"The start_cursor provided is invalid: {wrong}"


def test_one_query_is_one_session(client: Client, source: str, raw: httpx.Client) -> None:
    """All its cursors name it; a bare row id goes on with bare row ids (measured)."""
    first = client.data_sources.query(source, page_size=2)
    second = client.data_sources.query(source, page_size=2, start_cursor=first["next_cursor"])
    sessions = [answer["next_cursor"].split(":")[1] for answer in (first, second)]
    assert sessions[0] == sessions[1]
    row = second["results"][0]["id"]
    bare = client.data_sources.query(source, page_size=2, start_cursor=row)
    assert bare["next_cursor"] == second["next_cursor"].split(":")[2]
    strange = client.data_sources.query(source, start_cursor=f"s:{'0' * 8}:{row}")
    assert strange["results"][0]["id"] == row
    url = f"/v1/data_sources/{source}/query"
    refused = raw.post(url, json={"start_cursor": f"s:{sessions[0]}:y"}).json()["message"]
    assert refused == "The start_cursor provided is invalid: y"


def test_the_result_limit_is_told(client: Client, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "RESULT_LIMIT", 6)  # 10,000 rows would take a minute to write
    first = client.data_sources.query(source, page_size=4)
    assert first["has_more"] and "request_status" not in first
    second = client.data_sources.query(source, page_size=4, start_cursor=first["next_cursor"])
    assert (len(second["results"]), second["has_more"], second["next_cursor"]) == (2, False, None)
    assert second["request_status"] == {
        "type": "incomplete",
        "incomplete_reason": "query_result_limit_reached",
    }


@pytest.mark.parametrize("direction", ["ascending", "descending"])
def test_title_order_is_the_same_with_and_without_its_index(client: Client, direction: str) -> None:
    """All rows by title come from an index; a filter that all rows pass takes the other way."""
    source = make_source(client, {"Name": {"title": {}}, "Done": {"checkbox": {}}})
    titles = ["Task 10", "task 9", "", "Task 10", "ärger", "Zebra", "", "7", "70", "Task 9"]
    for title in titles:
        make_page(client, source, {"Name": {"title": text(title)}} if title else {})
    trashed = make_page(client, source, {"Name": {"title": text("Task 1")}})
    client.pages.update(trashed["id"], in_trash=True)
    sorts = [{"property": "Name", "direction": direction}]
    everything = {"property": "Done", "checkbox": {"equals": False}}
    scanned = [
        row["id"] for row in client.data_sources.query(source, sorts=sorts, filter=everything)["results"]
    ]
    seen, cursor = [], None
    while True:
        more = {"start_cursor": cursor} if cursor else {}
        answer = client.data_sources.query(source, sorts=sorts, page_size=3, **more)
        seen.extend(row["id"] for row in answer["results"])
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == scanned
    assert len(seen) == len(titles)
    bin_ = client.data_sources.query(source, sorts=sorts, in_trash=True)["results"]
    assert [row["id"] for row in bin_] == [trashed["id"]]
