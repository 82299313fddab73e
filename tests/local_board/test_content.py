"""Blocks, markdown, comments, uploads, search, views, OAuth: what the client's own suite and the daemon
touch.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import pytest
from notion_client import APIResponseError, Client
from notion_client.errors import HTTPResponseError
from notion_client.helpers import collect_paginated_api

from tests.local_board.conftest import ROOT, TOKEN, make_client, make_page, make_source, text


def page_with(client: Client, markdown: str) -> str:
    """A page made from markdown."""
    made = client.pages.create(parent={"page_id": ROOT}, properties={"title": text("x")}, markdown=markdown)
    identifier: str = made["id"]
    return identifier


def subpage(client: Client, title: str) -> str:
    """An empty page with a title."""
    made: dict[str, Any] = client.pages.create(parent={"page_id": ROOT}, properties={"title": text(title)})
    return str(made["id"])


def paragraph(content: str) -> dict[str, Any]:
    return {"paragraph": {"rich_text": text(content)}}


def texts(client: Client, page: str) -> list[str]:
    """Plain texts of a page's topmost paragraphs."""
    blocks = client.blocks.children.list(page)["results"]
    return ["".join(run["plain_text"] for run in block[block["type"]]["rich_text"]) for block in blocks]


EVERYTHING = """# Title {color="red"}
Plain with **bold**, *italic*, ~~gone~~, `code \\* raw` and [a link](https://example.com/x).
<span underline="true">under</span> <span color="blue_bg">blue</span> $`x^2`$ and 1 \\* 2 \\[x\\]
- one
\t- inner
\t\t1. deep
- [x] done
- [ ] open
1. first
2. second
> quoted
---
```python
def f():
\treturn "*"
```
$$
a + b
$$
<details>
<summary>More</summary>
\thidden
</details>
<callout icon="💡" color="gray_bg">
\tnote this
\t- in it
</callout>
<table header-row="true">
<tr>
<td>a</td>
<td>**b**</td>
</tr>
<tr>
<td>1</td>
<td>2</td>
</tr>
</table>
![caption](https://example.com/a.png)
<empty-block/>
end"""


def test_markdown_round_trip(client: Client) -> None:
    page = page_with(client, EVERYTHING)
    assert client.pages.retrieve_markdown(page)["markdown"] == EVERYTHING
    copy = page_with(client, client.pages.retrieve_markdown(page)["markdown"])
    assert client.pages.retrieve_markdown(copy)["markdown"] == EVERYTHING


def test_markdown_makes_real_blocks(client: Client) -> None:
    page = page_with(client, "| a | b |\n|---|---|\n| 1 | **2** |\n\n- [x] x\n- y\n\n  z")
    table, task, item = client.blocks.children.list(page)["results"]
    assert (table["table"]["table_width"], table["table"]["has_column_header"]) == (2, True)
    cell = client.blocks.children.list(table["id"])["results"][1]["table_row"]["cells"][1][0]
    assert (cell["plain_text"], cell["annotations"]["bold"]) == ("2", True)
    assert task["to_do"]["checked"]
    assert item["has_children"]


def test_long_markdown_text_is_split_at_2000_units(client: Client) -> None:
    page = page_with(client, "𝒳" * 2500)
    runs = client.blocks.children.list(page)["results"][0]["paragraph"]["rich_text"]
    assert [len(run["plain_text"]) for run in runs] == [1000, 1000, 500]


@pytest.mark.parametrize("depth", [101, 450])
def test_absurd_nesting_is_refused(depth: int, client: Client) -> None:
    page_with(client, "\n".join("\t" * level + "- x" for level in range(100)))
    with pytest.raises(APIResponseError, match="nested more than 100"):
        page_with(client, "\n".join("\t" * level + "- x" for level in range(depth)))


def test_markdown_commands(client: Client) -> None:
    page = page_with(client, "one\ntwo\nthree")
    before = [block["id"] for block in client.blocks.children.list(page)["results"]]

    def run(kind: str, given: Any) -> str:
        answer = client.pages.update_markdown(page, type=kind, **{kind: given})
        markdown: str = answer["markdown"]
        return markdown

    assert (
        run("insert_content", {"content": "zero", "position": {"type": "start"}}) == "zero\none\ntwo\nthree"
    )
    assert run("insert_content", {"content": "1.5", "after": "one"}) == "zero\none\n1.5\ntwo\nthree"
    updates = {"content_updates": [{"old_str": "two", "new_str": "TWO"}]}
    assert run("update_content", updates) == "zero\none\n1.5\nTWO\nthree"
    blocks = [block["id"] for block in client.blocks.children.list(page)["results"]]
    assert (blocks[1], blocks[4]) == (before[0], before[2])  # untouched blocks keep their ids
    assert run("replace_content_range", {"content": "x", "content_range": "zero...1.5"}) == "x\nTWO\nthree"
    assert run("replace_content", {"new_str": "all new"}) == "all new"
    with pytest.raises(APIResponseError, match="Could not find `old_str`"):
        run("update_content", {"content_updates": [{"old_str": "nope", "new_str": ""}]})


def test_subpages_are_not_deleted_by_accident(client: Client) -> None:
    page = page_with(client, "text")
    child = client.pages.create(parent={"page_id": page}, properties={"title": text("sub")})["id"]
    markdown = client.pages.retrieve_markdown(page)["markdown"]
    assert markdown.endswith(">sub</page>")
    with pytest.raises(APIResponseError, match="child pages"):
        given = {"content": "", "content_range": markdown}
        client.pages.update_markdown(page, type="replace_content_range", replace_content_range=given)
    assert not client.pages.retrieve(child)["in_trash"]


def test_append_in_the_middle_answers_the_later_siblings(client: Client) -> None:
    page = page_with(client, "\n".join(str(n) for n in range(20)))
    first = client.blocks.children.list(page)["results"][2]["id"]
    answer = client.blocks.children.append(page, children=[paragraph("new")], after=first)
    assert len(answer["results"]) == 18  # one new block and 17 later siblings, as recorded
    assert texts(client, page)[3] == "new"
    start = {"type": "start"}
    client.blocks.children.append(page, children=[paragraph("top")], position=start)
    assert texts(client, page)[0] == "top"


def test_many_insertions_at_one_place(client: Client) -> None:
    page = page_with(client, "a\nz")
    first = client.blocks.children.list(page)["results"][0]["id"]
    for number in range(40):
        client.blocks.children.append(page, children=[paragraph(str(number))], after=first)
    assert texts(client, page) == ["a", *(str(n) for n in range(39, -1, -1)), "z"]


def test_after_is_refused_by_the_newer_version(client: Client, server: Any) -> None:
    page = page_with(client, "a")
    block = client.blocks.children.list(page)["results"][0]["id"]
    newer = make_client(server.url, "2026-03-11")
    with pytest.raises(APIResponseError, match=r"body\.after should be not present"):
        newer.blocks.children.append(page, children=[paragraph("x")], after=block)
    position = {"type": "after_block", "after_block": {"id": block}}
    newer.blocks.children.append(page, children=[paragraph("b")], position=position)
    assert texts(client, page) == ["a", "b"]
    newer.close()


def test_children_page_by_inclusive_cursor(client: Client) -> None:
    page = page_with(client, "\n".join(str(n) for n in range(25)))
    first = client.blocks.children.list(page, page_size=10)
    second = client.blocks.children.list(page, page_size=10, start_cursor=first["next_cursor"])
    assert second["results"][0]["id"] == first["next_cursor"]
    whole = collect_paginated_api(client.blocks.children.list, block_id=page, page_size=7)
    assert len(whole) == 25


def test_every_writable_block(client: Client) -> None:
    blocks: list[dict[str, Any]] = [
        {kind: {"rich_text": text("x")}}
        for kind in ("heading_1", "heading_4", "quote", "toggle", "callout", "to_do", "template")
    ]
    blocks += [
        {"code": {"rich_text": text("x"), "language": "python"}},
        {"equation": {"expression": "x"}},
        {"bookmark": {"url": "https://example.com"}},
        {"embed": {"url": "https://example.com"}},
        {"image": {"external": {"url": "https://example.com/a.png"}}},
        {"link_to_page": {"page_id": ROOT}},
        {"table_of_contents": {}},
        {"breadcrumb": {}},
        {"divider": {}},
        {"synced_block": {"synced_from": None}},
        {"column_list": {"children": [{"column": {"children": [paragraph(side)]}} for side in "lr"]}},
    ]  # fmt: skip
    page = client.pages.create(parent={"page_id": ROOT}, properties={}, children=blocks)["id"]
    shown = client.blocks.children.list(page)["results"]
    assert [block["type"] for block in shown] == [next(iter(block)) for block in blocks]
    assert shown[-1]["has_children"]


def test_comments(client: Client) -> None:
    page = page_with(client, "x")
    before = client.pages.retrieve(page)["last_edited_time"]
    first = client.comments.create(parent={"page_id": page}, markdown="**hey**")
    assert first["rich_text"][0]["annotations"]["bold"]
    reply = client.comments.create(discussion_id=first["discussion_id"], rich_text=text("re"))
    assert reply["discussion_id"] == first["discussion_id"]
    assert [item["id"] for item in client.comments.list(block_id=page)["results"]] == [
        first["id"],
        reply["id"],
    ]
    client.comments.delete(first["id"])
    assert [item["id"] for item in client.comments.list(block_id=page)["results"]] == [reply["id"]]
    assert client.pages.retrieve(page)["last_edited_time"] == before


def test_uploads_single_multi_and_download(client: Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "F": {"files": {}}})
    upload = client.file_uploads.create(filename="a.txt", content_type="text/plain")["id"]
    with pytest.raises(APIResponseError, match="must be in status"):
        make_page(client, source, {"F": {"files": [{"type": "file_upload", "file_upload": {"id": upload}}]}})
    content = b"line\r\n--not a boundary\r\n\x00\xff"
    client.file_uploads.send(upload, file=("a.txt", io.BytesIO(content), "text/plain"))
    page = make_page(
        client, source, {"F": {"files": [{"type": "file_upload", "file_upload": {"id": upload}}]}}
    )
    shown = page["properties"]["F"]["files"][0]
    answer = httpx.get(shown["file"]["url"], trust_env=False)
    assert (shown["name"], answer.content) == ("a.txt", content)
    assert answer.headers["content-disposition"] == "attachment"
    many = client.file_uploads.create(mode="multi_part", filename="b.pdf", number_of_parts=2)["id"]
    client.file_uploads.send(many, file=("b", b"abc"), part_number="2")
    with pytest.raises(APIResponseError, match="1 of 2 parts"):
        client.file_uploads.complete(many)
    client.file_uploads.send(many, file=("b", b"ABC"), part_number="1")
    done = client.file_uploads.complete(many)
    assert (done["status"], done["content_length"], done["content_type"]) == (
        "uploaded",
        6,
        "application/pdf",
    )


def test_uploads_expire(client: Client, raw: httpx.Client) -> None:
    upload = client.file_uploads.create(filename="a.txt")["id"]
    raw.post("/_board/clock", json={"advance_ms": 3_600_001})
    assert client.file_uploads.retrieve(upload)["status"] == "expired"
    assert client.file_uploads.list(status="expired")["results"][0]["id"] == upload


def test_search(client: Client) -> None:
    make_source(client, {"Name": {"title": {}}}, "Music Tasks")
    page = page_with(client, "x")
    client.pages.update(page, properties={"title": text("music page")})
    found = client.search(query="MUSIC", sort={"direction": "descending", "timestamp": "last_edited_time"})
    assert {item["object"] for item in found["results"]} == {"page", "data_source"}
    only = client.search(query="music", filter={"property": "object", "value": "data_source"})["results"]
    assert [item["object"] for item in only] == ["data_source"]
    first = client.search(page_size=1)
    second = client.search(page_size=1, start_cursor=first["next_cursor"])
    assert first["results"][0]["id"] != second["results"][0]["id"]
    assert client.search(query="zebra")["results"] == []


def test_uploads_in_both_versions(client: Client, server: Any) -> None:
    newer = make_client(server.url, "2026-03-11")
    older_names, newer_names = (list(one.file_uploads.create(filename="a.txt")) for one in (client, newer))
    newer.close()
    assert older_names[7] == "archived"
    assert newer_names == [name if name != "archived" else "in_trash" for name in older_names]


def found(client: Client, **given: Any) -> list[str]:
    """Titles of what a search finds, in order."""
    out = []
    for item in client.search(**given)["results"]:
        runs = item["title"] if item["object"] == "data_source" else item["properties"]["title"]["title"]
        out.append("".join(run["plain_text"] for run in runs))
    return out


def test_search_goes_by_words(client: Client) -> None:
    """Any word will do, in its plural or singular (recorded: "Properties" finds "Property").

    Beginnings of words and texts without spaces are found too; the middle of a word is not.
    """
    for title in ("Place Property Test", "Wiki DB", "Notes", "部署任务"):
        subpage(client, title)
    assert found(client, query="All Properties DB") == ["Wiki DB", "Place Property Test"]
    assert found(client, query="prop") == ["Place Property Test"]
    assert found(client, query="roperty") == []
    assert found(client, query="This should have no results") == []
    assert found(client, query="任务") == ["部署任务"]


def test_search_leaves_out_what_is_below_the_trash(client: Client) -> None:
    outer = subpage(client, "outer")
    inner = client.pages.create(parent={"page_id": outer}, properties={"title": text("inner")})["id"]
    assert found(client, query="inner") == ["inner"]
    client.pages.update(outer, in_trash=True)
    assert found(client, query="inner") == []
    assert found(client, query="inner", filter={"in_trash": True}) == ["inner"]
    client.pages.update(outer, in_trash=False)
    assert [item["id"] for item in client.search(query="inner")["results"]] == [inner]


def test_oauth_gives_nothing_away(client: Client, server: Any) -> None:
    assert client.oauth.introspect("id", TOKEN, token=TOKEN)["active"]
    assert not client.oauth.introspect("id", TOKEN, token="other")["active"]
    with pytest.raises(HTTPResponseError) as caught:
        client.oauth.introspect("id", "wrong", token=TOKEN)
    assert caught.value.status == 401
    wrong = base64.b64encode(b"id:wrong").decode()
    headers = {"Authorization": f"Basic {wrong}", "Notion-Version": "2025-09-03"}
    body = {"grant_type": "authorization_code", "code": "x"}
    answer = httpx.post(f"{server.url}/v1/oauth/token", json=body, headers=headers, trust_env=False)
    assert (answer.status_code, list(answer.json())) == (401, ["error", "request_id"])
    assert answer.json()["error"] == "invalid_client"  # recorded
    assert answer.headers["www-authenticate"] == 'Basic realm="OAuth"'  # measured


def test_views_keep_their_query(client: Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "N": {"number": {}}})
    for number in range(5):
        make_page(client, source, {"N": {"number": number}})
    big = {"property": "N", "number": {"greater_than": 1}}
    order = [{"property": "N", "direction": "ascending"}]
    view = client.views.create(data_source_id=source, name="Big", type="table", filter=big, sorts=order)
    query = client.views.queries.create(view["id"], page_size=2)
    assert (query["total_count"], len(query["results"]), query["has_more"]) == (3, 2, True)
    rest = client.views.queries.results(view["id"], query["id"], start_cursor=query["next_cursor"])
    last = client.pages.retrieve(rest["results"][0]["id"])
    assert last["properties"]["N"]["number"] == 4
