"""The published request schemas, and what the service finds out only while it makes content."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from notion_client import Client

from tests.local_board.conftest import ROOT, make_source
from tests.local_board.test_refusals import invalid

LINKED = {"paragraph": {"rich_text": [{"text": {"content": "x", "link": {"url": "notes.md"}}}]}}


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ({"callout": {"rich_text": [], "icon": None}}, "callout.icon should be an object or `undefined`,"
         " instead was `null`."),
        ({"to_do": {"rich_text": [], "checked": "yes"}}, "to_do.checked should be a boolean or `undefined`,"
         ' instead was `"yes"`.'),
        ({"code": {"rich_text": []}}, "code.language should be defined, instead was `undefined`."),
        ({"table": {"table_width": 1}}, "table.children should be defined, instead was `undefined`."),
        ({"image": {"type": "file", "file": {"url": "https://a.org/x"}}}, "image.external should be defined,"
         " instead was `undefined`."),
    ],
)  # fmt: skip
def test_blocks_that_are_refused(block: dict[str, Any], line: str, raw: httpx.Client) -> None:
    """The first two are reports; the rest is the published schema in the words of the others."""
    message = invalid(raw.patch(f"/v1/blocks/{ROOT}/children", json={"children": [block]}))
    assert f"body.children[0].{line}" in message


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (LINKED, "Invalid URL for link."),
        ({"image": {"external": {"url": "picture.png"}}}, "Invalid image url."),
        (
            {"table": {"table_width": 2, "children": [{"table_row": {"cells": [[]]}}]}},
            "Number of cells in table row must match the table width of the parent table",
        ),
    ],
)
def test_content_that_cannot_be_made(block: dict[str, Any], problem: str, raw: httpx.Client) -> None:
    """Three reports (notion-sdk-py #214 for the picture): a text of its own, a space before the line."""
    message = f"Content creation Failed. Fix the following: \n{problem}"
    assert invalid(raw.patch(f"/v1/blocks/{ROOT}/children", json={"children": [block]})) == message
    nested = {"toggle": {"rich_text": [], "children": [block, block]}}
    page = {"parent": {"page_id": ROOT}, "properties": {}, "children": [nested]}
    assert invalid(raw.post("/v1/pages", json=page)) == message


def test_the_published_schema_is_kept(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "F": {"files": {}}, "V": {"verification": {}}})
    database = client.data_sources.retrieve(source)["parent"]["database_id"]
    # Measured: a database's icon can be replaced and not be taken away.
    assert invalid(raw.patch(f"/v1/databases/{database}", json={"icon": None})) == (
        "body failed validation: body.icon should be an object or `undefined`, instead was `null`."
    )
    unnamed = {"F": {"files": [{"external": {"url": "https://a.org/x"}}]}}
    page = {"parent": {"data_source_id": source}, "properties": unnamed}
    assert "body.properties.F.files[0].name should be defined, instead was `undefined`." in invalid(
        raw.post("/v1/pages", json=page)
    )
    shown = raw.post("/v1/pages?filter_properties=title", json={**page, "properties": {}}).json()
    assert list(shown["properties"]) == ["Name"]
    assert raw.patch(f"/v1/pages/{shown['id']}", json={"is_archived": True}).json()["in_trash"] is True
    for state, found in (("verified", 1), ("none", 0), ("expired", 1)):
        wanted = {"property": "V", "verification": {"does_not_equal": state}}
        rows = client.data_sources.query(source, filter=wanted, in_trash=True)["results"]
        assert len(rows) == found, state
    odd = {"Odd": {"relation": {"data_source_id": source}}}
    assert "body.properties.Odd.relation.single_property should be defined" in invalid(
        raw.patch(f"/v1/data_sources/{source}", json={"properties": odd})
    )
    for body in ({"rich_text": []}, {"parent": {"page_id": ROOT}}):
        assert "should be defined, instead was `undefined`." in invalid(raw.post("/v1/comments", json=body))
