"""The 44 recorded answer shapes, member by member: nothing missing, nothing of another type, nothing unheard
of.

The recordings are from October 2025 to May 2026; members that the service has added since are named in
NEWER.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from notion_client import Client

from daemon.local_board.server import BoardServer
from tests.local_board.conftest import ROOT, TOKEN, make_client, make_page, make_source, text

SHAPES = json.loads((Path(__file__).parent / "data" / "recorded_shapes.json").read_text(encoding="utf-8"))[
    "responses"
]
NEWER = {
    "is_archived",
    "archived",
    "in_trash",
    "workspace_id",
    "email_verified",
    "additional_data",
    "is_toggleable",
}
"""Members that answers carry since 2026 and that the older recordings lack."""
NEWER_AT = (".paragraph.icon",)
"""The same for one place only (recorded since June 2026)."""


def kind_of(value: Any) -> str:
    """The recorded name of a JSON type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names[type(value)]


def differences(shape: dict[str, Any], value: Any, path: str = "") -> list[str]:
    """Every way in which a value does not fit a recorded shape."""
    kind = kind_of(value)
    if kind not in shape["types"]:
        return [f"{path}: {kind} instead of {shape['types']}"]
    out: list[str] = []
    if kind == "string" and "pattern" in shape and not re.fullmatch(shape["pattern"], value):
        out.append(f"{path}: {value!r} does not match {shape['pattern']}")
    if kind == "array" and "item" in shape:
        for index, item in enumerate(value):
            out.extend(differences(shape["item"], item, f"{path}[{index}]"))
    if kind == "object" and shape.get("keys"):
        for name, inner in shape["keys"].items():
            if name in value:
                out.extend(differences(inner, value[name], f"{path}.{name}"))
            elif not inner.get("optional") and (name != "archived" or "in_trash" not in value):
                out.append(f"{path}.{name}: missing")
        out.extend(
            f"{path}.{name}: unheard of"
            for name in value
            if name not in shape["keys"] and name not in NEWER and not f"{path}.{name}".endswith(NEWER_AT)
        )
    return out


@pytest.fixture(params=["2025-09-03", "2026-03-11"])
def version(request: pytest.FixtureRequest) -> str:
    """Both versions that are served."""
    return str(request.param)


@pytest.fixture
def answers(version: str, server: BoardServer) -> Iterator[dict[str, Callable[[], Any]]]:
    """One way to get each recorded answer, on a board with a little of everything."""
    client = make_client(server.url, version)
    headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": version}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as raw:
        yield ways(client, raw, version)
    client.close()


def ways(client: Client, raw: httpx.Client, version: str) -> dict[str, Callable[[], Any]]:
    """How each recorded answer is asked for."""
    source = make_source(client, {"Name": {"title": {}}, "N": {"number": {}}})
    database = client.data_sources.retrieve(source)["parent"]["database_id"]
    make_page(client, source, {"Name": {"title": text("row")}})
    page = client.pages.create(parent={"page_id": ROOT}, properties={"title": text("page")})["id"]
    paragraph = [{"paragraph": {"rich_text": text("I'm a paragraph.")}}]
    block = client.blocks.children.append(page, children=paragraph)["results"][0]["id"]
    comment = client.comments.create(parent={"page_id": page}, rich_text=text("hello"))["id"]
    upload = client.file_uploads.create(filename="a.txt", content_type="text/plain")["id"]
    view = client.views.create(data_source_id=source, database_id=database, name="V", type="table")["id"]
    query = client.views.queries.create(view)["id"]
    bot = client.users.me()["id"]
    subpage = client.pages.create(parent={"page_id": page}, properties={"title": text("moving")})["id"]
    denied = {"Authorization": "Bearer wrong", "Notion-Version": version}
    nil = "00000000-0000-0000-0000-000000000000"
    icon = {"type": "emoji", "emoji": "🛴"}
    initial = {"properties": {"Name": {"title": {}}}}
    parent = {"type": "page_id", "page_id": page}
    return {
        "GET /v1/users 200": client.users.list,
        "GET /v1/users 401": lambda: raw.get("/v1/users", headers=denied).json(),
        "GET /v1/users/me 200": client.users.me,
        "GET /v1/users/{id} 200": lambda: client.users.retrieve(bot),
        "GET /v1/invalid 400": lambda: raw.get("/v1/invalid").json(),
        "POST /v1/pages 200": lambda: client.pages.create(parent=parent, properties={"title": text("x")}),
        "GET /v1/pages/{id} 200": lambda: client.pages.retrieve(page),
        "GET /v1/pages/{id} 404": lambda: raw.get(f"/v1/pages/{nil}").json(),
        "PATCH /v1/pages/{id} 200": lambda: client.pages.update(page, icon=icon),
        "GET /v1/pages/{id}/properties/title 200": lambda: client.pages.properties.retrieve(page, "title"),
        "POST /v1/pages/{id}/move 200": lambda: client.pages.move(subpage, parent={"page_id": ROOT}),
        "GET /v1/blocks/{id} 200": lambda: client.blocks.retrieve(block),
        "PATCH /v1/blocks/{id} 200": lambda: client.blocks.update(
            block, paragraph={"rich_text": text("new")}
        ),
        "GET /v1/blocks/{id}/children 200": lambda: client.blocks.children.list(page),
        "PATCH /v1/blocks/{id}/children 200": lambda: client.blocks.children.append(page, children=paragraph),
        "DELETE /v1/blocks/{id} 200": lambda: client.blocks.delete(block),
        "POST /v1/blocks/meeting_notes/query 200": client.blocks.meeting_notes.query,
        "POST /v1/comments 200": lambda: client.comments.create(
            parent={"page_id": page}, rich_text=text("x")
        ),
        "GET /v1/comments 200": lambda: client.comments.list(block_id=page),
        "GET /v1/comments/{id} 200": lambda: client.comments.retrieve(comment),
        "PATCH /v1/comments/{id} 200": lambda: client.comments.update(comment, rich_text=text("y")),
        "DELETE /v1/comments/{id} 200": lambda: client.comments.delete(comment),
        "GET /v1/custom_emojis 200": client.custom_emojis.list,
        "POST /v1/databases 200": lambda: client.databases.create(
            parent=parent, title=text("d"), initial_data_source=initial
        ),
        "GET /v1/databases/{id} 200": lambda: client.databases.retrieve(database),
        "PATCH /v1/databases/{id} 200": lambda: client.databases.update(database, icon=icon),
        "POST /v1/data_sources 200": lambda: client.data_sources.create(
            parent={"type": "database_id", "database_id": database}, title=text("more"), **initial
        ),
        "GET /v1/data_sources/{id} 200": lambda: client.data_sources.retrieve(source),
        "PATCH /v1/data_sources/{id} 200": lambda: client.data_sources.update(source, icon=icon),
        "POST /v1/data_sources/{id}/query 200": lambda: client.data_sources.query(source),
        "GET /v1/data_sources/{id}/templates 200": lambda: client.data_sources.list_templates(source),
        "POST /v1/file_uploads 200": lambda: client.file_uploads.create(
            mode="multi_part", filename="a", number_of_parts=2
        ),
        "GET /v1/file_uploads 200": client.file_uploads.list,
        "GET /v1/file_uploads/{id} 200": lambda: _sent(client),
        "POST /v1/file_uploads/{id}/send 200": lambda: client.file_uploads.send(
            upload, file=("a.txt", b"abc")
        ),
        "POST /v1/search 200": lambda: client.search(query="things page"),
        "POST /v1/views 200": lambda: client.views.create(
            data_source_id=source, database_id=database, name="W", type="table"
        ),
        "GET /v1/views 200": lambda: client.views.list(database_id=database),
        "GET /v1/views/{id} 200": lambda: client.views.retrieve(view),
        "PATCH /v1/views/{id} 200": lambda: client.views.update(view, name="X"),
        "DELETE /v1/views/{id} 200": lambda: client.views.delete(view),
        "POST /v1/views/{id}/queries 200": lambda: client.views.queries.create(view),
        "GET /v1/views/{id}/queries/{id} 200": lambda: client.views.queries.results(view, query),
        "DELETE /v1/views/{id}/queries/{id} 200": lambda: client.views.queries.delete(view, query),
    }


def _sent(client: Client) -> Any:
    upload = client.file_uploads.create(filename="a.txt", content_type="text/plain")["id"]
    client.file_uploads.send(upload, file=("a.txt", b"abc"))
    return client.file_uploads.retrieve(upload)


def test_every_recorded_shape(answers: dict[str, Callable[[], Any]], version: str) -> None:
    """Recorded is the older version; the newer has `in_trash` alone where that one has `archived`."""
    assert set(answers) == set(SHAPES)
    problems = {}
    # What deletes goes last, so that the rest still finds its object.
    for name in sorted(answers, key=lambda name: (name.startswith("DELETE"), "queries" not in name)):
        answer = answers[name]()
        found = differences(SHAPES[name], answer)
        if version == "2026-03-11" and '"archived"' in json.dumps(answer):
            found.append("archived in the newer version")
        if found:
            problems[name] = found
    assert problems == {}


ORDER = {
    "page": "object id created_time last_edited_time created_by last_edited_by cover icon parent in_trash"
    " is_archived is_locked properties url public_url archived request_id",
    "database": "object id title description parent is_inline in_trash is_locked created_time"
    " last_edited_time data_sources icon cover url public_url archived request_id",
    "data_source": "object id cover icon created_time created_by last_edited_by last_edited_time title"
    " description is_inline properties parent database_parent url public_url in_trash archived request_id",
    "block": "object id parent created_time last_edited_time created_by last_edited_by has_children"
    " in_trash type paragraph archived request_id",
}
"""Members in the recorded order (July 2026, version 2025-09-03)."""


def test_member_order_in_both_versions(version: str, client: Client, server: Any) -> None:
    source = make_source(client, {"Name": {"title": {}}})
    database = client.data_sources.retrieve(source)["parent"]["database_id"]
    page = client.pages.create(parent={"page_id": ROOT}, properties={"title": text("x")})["id"]
    block = client.blocks.children.append(page, children=[{"paragraph": {"rich_text": []}}])["results"][0][
        "id"
    ]
    asking = make_client(server.url, version)
    got = {
        "page": asking.pages.retrieve(page),
        "database": asking.databases.retrieve(database),
        "data_source": asking.data_sources.retrieve(source),
        "block": asking.blocks.retrieve(block),
    }
    asking.close()
    for name, order in ORDER.items():
        wanted = [member for member in order.split() if version == "2025-09-03" or member != "archived"]
        assert list(got[name]) == wanted, name


def test_properties_come_by_length_and_id(client: Client) -> None:
    names = [f"P{n}" for n in range(8)]
    source = make_source(client, {"Name": {"title": {}}, **{name: {"number": {}} for name in names}})
    from urllib.parse import unquote

    ids = [unquote(prop["id"]) for prop in client.data_sources.retrieve(source)["properties"].values()]
    assert ids == sorted(ids, key=lambda raw: (len(raw), raw))
    assert ids[-1] == "title"
