"""What the service answers since June 2026, replayed: newer members, order within a minute, moves, tasks.

Each test names the recording it stands on; ids, names and texts are ours.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from notion_client import Client

from daemon.local_board import BoardConfig
from daemon.local_board.server import BoardServer
from tests.local_board.conftest import ROOT, TOKEN, make_client, make_page, make_source, text

NAME = {"Name": {"title": {}}}


@pytest.fixture
def stopped() -> Iterator[httpx.Client]:
    """A board whose clock stands, so that everything happens in one minute."""
    moment = datetime(2026, 7, 27, 13, 47, 6, 549000, tzinfo=UTC)
    headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2025-09-03"}
    with (
        BoardServer(BoardConfig(db=":memory:", token=TOKEN, seed=7, now=lambda: moment)) as server,
        httpx.Client(base_url=server.url, headers=headers, trust_env=False) as plain,
    ):
        yield plain


def append(client: Client, parent: str, *blocks: dict[str, Any]) -> list[dict[str, Any]]:
    """Appended blocks as answered."""
    answered: list[dict[str, Any]] = client.blocks.children.append(parent, children=list(blocks))["results"]
    return answered


def subpage(client: Client) -> str:
    """An empty page below the root."""
    page: str = client.pages.create(parent={"page_id": ROOT}, properties={"title": text("page")})["id"]
    return page


def test_paragraphs_carry_an_icon(client: Client) -> None:
    """SDK recordings of 2026-07-04: rich_text, icon, color in this order; null when none was given."""
    page = subpage(client)
    plain, marked = append(
        client,
        page,
        {"paragraph": {"rich_text": text("one")}},
        {"paragraph": {"rich_text": text("two"), "icon": {"type": "emoji", "emoji": "🔥"}, "color": "red"}},
    )
    assert list(plain["paragraph"]) == ["rich_text", "icon", "color"]
    assert plain["paragraph"]["icon"] is None
    assert marked["paragraph"]["icon"] == {"type": "emoji", "emoji": "🔥"}
    changed = client.blocks.update(marked["id"], paragraph={"rich_text": text("three")})
    assert changed["paragraph"]["icon"] == {"type": "emoji", "emoji": "🔥"}
    assert changed["paragraph"]["color"] == "red"


def test_a_paragraph_of_an_older_file_shows_no_icon(tmp_path: Path) -> None:
    file = tmp_path / "board.db"
    with BoardServer(BoardConfig(db=file, token=TOKEN)) as server:
        client = make_client(server.url)
        block = append(client, subpage(client), {"paragraph": {"rich_text": text("old")}})[0]["id"]
        client.close()
    with sqlite3.connect(file) as db:
        body = json.loads(db.execute("SELECT body FROM block WHERE id = ?", (block,)).fetchone()[0])
        body.pop("icon")
        db.execute("UPDATE block SET body = ? WHERE id = ?", (json.dumps(body), block))
        db.execute("ALTER TABLE data_source DROP COLUMN joined")
    db.close()
    with BoardServer(BoardConfig(db=file, token=TOKEN)) as server:
        client = make_client(server.url)
        assert client.blocks.retrieve(block)["paragraph"]["icon"] is None
        assert make_source(client, NAME)
        client.close()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.example.org/a/robots.txt", "robots.txt"),
        ("https://www.example.org/a%20b.pdf?x=/y", "a b.pdf"),
        ("https://www.example.org/", "www.example.org"),
    ],
)
def test_a_file_block_is_named_after_its_url(client: Client, url: str, name: str) -> None:
    """Recorded for the first of the three on 2026-06-24; other media blocks have no name."""
    file, image = append(
        client,
        subpage(client),
        {"file": {"type": "external", "caption": [], "external": {"url": url}}},
        {"image": {"type": "external", "external": {"url": url}}},
    )
    assert list(file["file"]) == ["caption", "type", "external", "name"]
    assert file["file"]["name"] == name
    assert "name" not in image["image"]


def test_a_synced_copy_shows_the_children_of_its_original(client: Client) -> None:
    """Recorded on 2026-06-24: has_children is true for a copy that was made without children."""
    page = subpage(client)
    inner = {"paragraph": {"rich_text": text("shared")}}
    original = append(client, page, {"synced_block": {"synced_from": None, "children": [inner]}})[0]
    origin = {"type": "block_id", "block_id": original["id"]}
    copy = append(client, page, {"synced_block": {"synced_from": origin, "children": []}})[0]
    assert (original["has_children"], copy["has_children"]) == (True, True)
    below = client.blocks.children.list(copy["id"])["results"]
    assert [item["parent"]["block_id"] for item in below] == [original["id"]]
    client.blocks.delete(original["id"])
    assert client.blocks.retrieve(copy["id"])["has_children"] is False


def test_people_in_values_are_short(client: Client) -> None:
    """Recorded on 2026-06-24: `bot: {}` and `person: {email}` in values, everything in /users/me."""
    person = next(user for user in client.users.list()["results"] if user["type"] == "person")
    source = make_source(client, {**NAME, "By": {"created_by": {}}, "Who": {"people": {}}})
    page = make_page(client, source, {"Who": {"people": [{"id": person["id"]}]}})
    me = client.users.me()
    assert page["properties"]["By"]["created_by"] == {
        "object": "user",
        "id": me["id"],
        "name": me["name"],
        "avatar_url": None,
        "type": "bot",
        "bot": {},
    }
    assert page["properties"]["Who"]["people"][0]["person"] == {"email": person["person"]["email"]}
    assert me["bot"]["workspace_name"]


def test_rows_of_one_minute_sort_newest_first_by_created_time(stopped: httpx.Client) -> None:
    """SDK recordings of 2026-07-27, twice: created_time ascending gave row 2, row 1, row 0 of one minute."""
    database = stopped.post(
        "/v1/databases",
        json={
            "parent": {"page_id": ROOT},
            "initial_data_source": {"properties": {**NAME, "At": {"created_time": {}}}},
        },
    ).json()
    source = database["data_sources"][0]["id"]
    for number in range(3):
        body = {
            "parent": {"data_source_id": source},
            "properties": {"Name": {"title": text(f"row {number}")}},
        }
        assert stopped.post("/v1/pages", json=body).status_code == 200
        stopped.post("/_board/clock", json={"advance_ms": 1000})
    for sort in ({"timestamp": "created_time"}, {"property": "At"}, {"timestamp": "last_edited_time"}):
        for direction in ("ascending", "descending"):
            asked: dict[str, Any] = {"sorts": [{**sort, "direction": direction}], "page_size": 2}
            first = stopped.post(f"/v1/data_sources/{source}/query", json=asked).json()
            second = stopped.post(
                f"/v1/data_sources/{source}/query", json={**asked, "start_cursor": first["next_cursor"]}
            ).json()
            rows = first["results"] + second["results"]
            names = [row["properties"]["Name"]["title"][0]["plain_text"] for row in rows]
            assert names == ["row 2", "row 1", "row 0"]


def test_a_data_source_moves_to_another_database(client: Client, raw: httpx.Client) -> None:
    """Recorded on 2026-06-27: the moved source comes behind the target's own, though it is older."""
    moved, own = make_source(client, NAME, "Movable"), make_source(client, NAME, "Target")
    page = make_page(client, moved, {"Name": {"title": text("row")}})
    target = client.data_sources.retrieve(own)["parent"]["database_id"]
    former = client.data_sources.retrieve(moved)["parent"]["database_id"]
    parent = {"type": "database_id", "database_id": target}
    answer = raw.patch(f"/v1/data_sources/{moved}", json={"parent": parent}).json()
    assert answer["parent"] == parent
    assert answer["url"].endswith(target.replace("-", ""))
    sources = client.databases.retrieve(target)["data_sources"]
    assert sources == [{"id": own, "name": "Target"}, {"id": moved, "name": "Movable"}]
    assert client.databases.retrieve(former)["data_sources"] == []
    assert client.pages.retrieve(page["id"])["parent"] == {
        "type": "data_source_id",
        "data_source_id": moved,
        "database_id": target,
    }
    inside = client.databases.create(
        parent={"type": "page_id", "page_id": page["id"]}, initial_data_source={"properties": NAME}
    )
    refused = raw.patch(f"/v1/data_sources/{moved}", json={"parent": {"database_id": inside["id"]}})
    assert refused.status_code == 400
    missing = raw.patch(f"/v1/data_sources/{moved}", json={"parent": {"database_id": page["id"]}})
    assert missing.status_code == 404


def test_allow_async_answers_a_task(stopped: httpx.Client) -> None:
    """SDK recording of 2026-07-04, member by member."""
    page = stopped.post(
        "/v1/pages", json={"parent": {"page_id": ROOT}, "properties": {"title": text("page")}}
    ).json()["id"]
    body = {"allow_async": True, "type": "insert_content", "insert_content": {"content": "# Hello\n\nText."}}
    accepted = stopped.patch(f"/v1/pages/{page}/markdown", json=body)
    assert accepted.status_code == 202
    task = accepted.json()
    address = str(stopped.base_url) + f"/v1/async_tasks/{task['id']}"
    operation = {"surface": "rest", "name": "PATCH /v1/pages/:page_id/markdown"}
    assert task["id"].startswith("task_")
    assert len(task["id"]) == len("task_") + 32
    assert list(task.items())[:-1] == [
        ("object", "async_task"),
        ("id", task["id"]),
        ("status", "queued"),
        ("status_url", address),
        ("created_time", "2026-07-27T13:47:06.549Z"),
        ("poll_after_seconds", 2),
        ("operation", operation),
    ]
    done = stopped.get(address).json()
    assert list(done) == [
        *("object", "id", "status", "status_url", "created_time", "operation", "result", "request_id")
    ]
    assert (done["status"], done["operation"]) == ("succeeded", operation)
    assert list(done["result"].items()) == [
        ("markdown", "# Hello\nText."),
        ("truncated", False),
        ("unknown_block_ids", []),
        ("id", page),
        ("object", "page_markdown"),
    ]


def test_allow_async_changes_nothing_else(raw: httpx.Client) -> None:
    parent = {"parent": {"page_id": ROOT}, "properties": {"title": text("page")}, "allow_async": True}
    assert raw.post("/v1/pages", json=parent).status_code == 200
    made = raw.post("/v1/pages", json={**parent, "markdown": "Text."})
    assert made.status_code == 202
    result = raw.get(f"/v1/async_tasks/{made.json()['id']}").json()["result"]
    assert raw.get(f"/v1/pages/{result['id']}/markdown").json()["markdown"] == "Text."
    refused = raw.patch(
        f"/v1/pages/{result['id']}/markdown",
        json={"allow_async": True, "update_content": [{"old_str": "not there", "new_str": ""}]},
    )
    assert refused.status_code == 400
    wrong = raw.patch(
        f"/v1/pages/{result['id']}/markdown", json={"allow_async": "yes", "insert_content": {"content": "x"}}
    )
    assert wrong.status_code == 400
    assert raw.get("/v1/async_tasks/task_" + "0" * 32).status_code == 404


def test_a_database_without_a_title_is_a_new_database(client: Client) -> None:
    """Recorded on 2026-06-27: the container has a name, its data source's title stays empty."""
    made = client.databases.create(parent={"page_id": ROOT}, initial_data_source={"properties": NAME})
    source = made["data_sources"][0]["id"]
    assert made["title"][0]["plain_text"] == "New database"
    assert made["data_sources"] == [{"id": source, "name": "New database"}]
    assert client.data_sources.retrieve(source)["title"] == []
    assert client.blocks.retrieve(made["id"])["child_database"] == {"title": "New database"}


def test_a_database_and_its_only_source_share_their_title(client: Client) -> None:
    """Recorded on 2026-06-24: descriptions go down; titles go both ways, an emptied one included."""
    source = make_source(client, NAME, "Articles")
    database = client.data_sources.retrieve(source)["parent"]["database_id"]
    client.databases.update(database, title=text("Things"), description=text("Many"))
    shown = client.data_sources.retrieve(source)
    assert (shown["title"][0]["plain_text"], shown["description"][0]["plain_text"]) == ("Things", "Many")
    client.data_sources.update(source, title=text("Others"))
    assert client.databases.retrieve(database)["title"][0]["plain_text"] == "Others"
    client.data_sources.update(source, title=[])
    assert client.blocks.delete(database)["child_database"] == {"title": "New database"}


def test_sources_of_a_shared_database_keep_their_titles(client: Client) -> None:
    first = make_source(client, NAME, "First")
    database = client.data_sources.retrieve(first)["parent"]["database_id"]
    parent = {"type": "database_id", "database_id": database}
    client.data_sources.create(parent=parent, properties=NAME, title=text("Second"))
    client.data_sources.update(first, title=text("Renamed"))
    client.databases.update(database, description=text("Both"))
    shown = client.databases.retrieve(database)
    assert shown["title"][0]["plain_text"] == "First"
    assert [source["name"] for source in shown["data_sources"]] == ["Renamed", "Second"]
    assert client.data_sources.retrieve(first)["description"] == []


def test_comments_on_a_page_are_one_discussion(client: Client) -> None:
    """Recorded on 2025-10-30 for pages; comments on blocks each begin their own."""
    page = subpage(client)
    block = append(client, page, {"paragraph": {"rich_text": text("one")}})[0]["id"]
    on_page = [client.comments.create(parent={"page_id": page}, rich_text=text("x")) for _ in range(2)]
    on_block = [client.comments.create(parent={"block_id": block}, rich_text=text("x")) for _ in range(2)]
    assert on_page[0]["discussion_id"] == on_page[1]["discussion_id"]
    assert len({item["discussion_id"] for item in (*on_page, *on_block)}) == 3


def test_mentioned_users_are_shown_in_full(client: Client) -> None:
    """Recorded on 2026-06-24 for a person in a title; pages are called by their present title."""
    person = next(user for user in client.users.list()["results"] if user["type"] == "person")
    page = subpage(client)
    runs: list[dict[str, Any]] = [
        {"mention": {"type": "user", "user": {"id": person["id"]}}},
        {"mention": {"type": "page", "page": {"id": page}}},
    ]
    block = append(client, page, {"paragraph": {"rich_text": runs}})[0]["id"]
    client.pages.update(page, properties={"title": text("renamed")})
    user, linked = client.blocks.retrieve(block)["paragraph"]["rich_text"]
    assert user["mention"]["user"] == {
        "object": "user",
        "id": person["id"],
        "name": person["name"],
        "avatar_url": None,
        "type": "person",
        "person": {"email": person["person"]["email"]},
    }
    assert user["plain_text"] == f"@{person['name']}"
    assert linked["plain_text"] == "renamed"
    listed = client.blocks.children.list(page)["results"][0]["paragraph"]["rich_text"]
    assert listed == [user, linked]
