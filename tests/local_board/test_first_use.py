"""The calls of the daemon's loop, start to end, with the official client."""

from __future__ import annotations

import pytest
from notion_client import APIResponseError, Client

from tests.local_board.conftest import ROOT, make_page, make_source, text

TASKS = {
    "Task Name": {"title": {}},
    "Status": {"status": {"options": [{"name": "Ready"}, {"name": "In Progress"}, {"name": "Completed"}]}},
    "Priority": {"select": {"options": [{"name": "Critical"}, {"name": "High"}]}},
    "Attempts": {"number": {}},
    "ID": {"unique_id": {"prefix": "T"}},
}


def test_claim_and_finish_a_task(client: Client) -> None:
    source = make_source(client, TASKS)
    first = make_page(
        client, source, {"Task Name": {"title": text("one")}, "Status": {"status": {"name": "Ready"}}}
    )
    make_page(
        client, source, {"Task Name": {"title": text("two")}, "Status": {"status": {"name": "Completed"}}}
    )
    ready = {"property": "Status", "status": {"equals": "Ready"}}
    answer = client.data_sources.query(
        source, filter=ready, sorts=[{"property": "ID", "direction": "ascending"}]
    )
    assert [page["id"] for page in answer["results"]] == [first["id"]]
    client.pages.update(
        first["id"], properties={"Status": {"status": {"name": "In Progress"}}, "Attempts": {"number": 1}}
    )
    assert client.data_sources.query(source, filter=ready)["results"] == []
    report = client.pages.update_markdown(
        first["id"],
        type="insert_content",
        insert_content={"content": "## New Section\n\nHello from markdown."},
    )
    assert report["markdown"] == "## New Section\nHello from markdown."  # recorded answer of the service
    client.comments.create(parent={"page_id": first["id"]}, rich_text=text("done"))
    assert len(client.comments.list(block_id=first["id"])["results"]) == 1
    kinds = [block["type"] for block in client.blocks.children.list(first["id"])["results"]]
    assert kinds == ["heading_2", "paragraph"]


def test_sdk_suite_sequence(client: Client) -> None:
    """The requests of the client's own fixtures, in their order, a second delete included."""
    page = client.pages.create(parent={"page_id": ROOT}, properties={"title": text("Test")}, children=[])
    block = client.blocks.children.append(
        page["id"], children=[{"paragraph": {"rich_text": text("I'm a paragraph.")}}]
    )
    block_id = block["results"][0]["id"]
    client.blocks.delete(block_id)
    assert client.blocks.retrieve(block_id)["archived"]
    assert client.blocks.delete(block_id)["in_trash"]
    gone = client.blocks.delete(page["id"])
    assert (gone["type"], gone["child_page"], gone["has_children"]) == (
        "child_page",
        {"title": "Test"},
        False,
    )


def test_unknown_property_is_named(client: Client) -> None:
    source = make_source(client, TASKS)
    with pytest.raises(APIResponseError) as caught:
        make_page(client, source, {"Nope": {"number": 1}, "Status": {"select": {"name": "x"}}})
    assert str(caught.value) == "Nope is not a property that exists. Status is expected to be status."
