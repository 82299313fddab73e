"""Error answers: code, wording and order, as recorded and measured on the service."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from notion_client import Client

from tests.local_board.conftest import ROOT, TOKEN, make_page, make_source, text

VERSIONS = '`"2021-05-11"`, `"2021-05-13"`, `"2021-08-16"`, `"2022-02-22"`, `"2022-06-28"`, `"2025-09-03"`'

LENGTH = "body.children[0].paragraph.rich_text[0].text.content.length"


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message; checks the envelope on the way."""
    body = answer.json()
    assert body["object"] == "error"
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-notion-request-id"]
    return answer.status_code, body["code"], body["message"]


def invalid(answer: httpx.Response) -> str:
    """The message of a 400 validation_error."""
    status, code, message = refusal(answer)
    assert (status, code) == (400, "validation_error")
    return message


def test_order_url_json_token_version_query_body(raw: httpx.Client) -> None:
    broken = {"Authorization": "nope", "Notion-Version": "banana", "content-type": "application/json"}
    wrong_url = raw.post("/v1/nowhere?x=1", headers=broken, content=b"{")
    assert refusal(wrong_url) == (400, "invalid_request_url", "Invalid request URL.")
    assert refusal(raw.delete(f"/v1/pages/{ROOT}"))[1] == "invalid_request_url"
    bad_json = raw.post("/v1/pages?x=1", headers=broken, content=b"{")
    assert refusal(bad_json) == (400, "invalid_json", "Error parsing JSON body.")
    assert refusal(raw.post("/v1/pages", headers=broken, content=b"3"))[1] == "invalid_json"
    no_scheme = raw.post("/v1/pages?x=1", headers=broken, content=b"{}")
    expected = 'Authorization header must use the format "Bearer <token>".'
    assert refusal(no_scheme) == (401, "unauthorized", expected)
    other = raw.post("/v1/pages?x=1", headers={**broken, "Authorization": "bearer other"}, content=b"{}")
    assert refusal(other) == (401, "unauthorized", "API token is invalid.")
    version = raw.post("/v1/pages?x=1", headers={**broken, "Authorization": f"bearer {TOKEN}"}, content=b"{}")
    assert refusal(version) == (
        400,
        "missing_version",
        "Notion-Version header failed validation: Notion-Version header should be "
        + VERSIONS
        + ', or `"2026-03-11"`, instead was `"banana"`.',
    )
    query = raw.post("/v1/pages?x=1", json={"children": 1})
    assert invalid(query) == "query failed validation: query.x should be not present, instead was `1`."
    repeated = raw.get("/v1/users?page_size=1&page_size=2")
    assert invalid(repeated) == 'Conflicting values for "page_size" in query parameters.'


def test_version_is_required(server: Any) -> None:
    answer = httpx.get(
        f"{server.url}/v1/users/me", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False
    )
    message = (
        "Notion-Version header failed validation:"
        " Notion-Version header should be defined, instead was `undefined`."
    )
    assert refusal(answer) == (400, "missing_version", message)
    old = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2022-06-28"}
    assert httpx.get(f"{server.url}/v1/users/me", headers=old, trust_env=False).status_code == 501


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "body.children should be defined, instead was `undefined`."),
        ({"children": "x"}, 'body.children should be an array, instead was `"x"`.'),
        ({"children": [], "colour": "red"}, 'body.colour should be not present, instead was `"red"`.'),
        ({"children": [{"divider": {}}] * 101}, "body.children.length should be ≤ `100`, instead was `101`."),
        (
            {"children": [{"paragraph": {"rich_text": [{"text": {"content": "a" * 2001}}]}}]},
            f"{LENGTH} should be ≤ `2000`, instead was `2001`.",
        ),
        (
            {"children": [{"paragraph": {"rich_text": [{"text": {"content": "𝒳" * 1001}}]}}]},
            f"{LENGTH} should be ≤ `2000`, instead was `2002`.",
        ),
    ],
)
def test_append_refusals(raw: httpx.Client, body: dict[str, Any], message: str) -> None:
    answer = raw.patch(f"/v1/blocks/{ROOT}/children", json=body)
    assert invalid(answer) == f"body failed validation: {message}"


def test_a_page_needs_a_parent(raw: httpx.Client) -> None:
    message = "body failed validation: body.parent should be defined, instead was `undefined`."
    assert invalid(raw.post("/v1/pages", json={})) == message


def test_numbers_are_doubles(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "N": {"number": {}}})
    page = make_page(client, source, {"N": {"number": 10**30}})
    assert page["properties"]["N"]["number"] == 1e30
    found = client.data_sources.query(source, filter={"property": "N", "number": {"equals": 10**30}})
    assert len(found["results"]) == 1
    given = b'{"parent":{"data_source_id":"%s"},"properties":{"N":{"number":1e400}}}' % source.encode()
    assert "should be a number" in invalid(raw.post("/v1/pages", content=given))


def test_odd_text_is_kept_or_mended(client: Client, raw: httpx.Client) -> None:
    body = b'{"parent":{"page_id":"%s"},"properties":{"title":[{"text":{"content":"\\ud83d \\u0000 x"}}]}}'
    answer = raw.post("/v1/pages", content=body % ROOT.encode())
    assert answer.json()["properties"]["title"]["title"][0]["plain_text"] == "\ufffd \x00 x"


def test_several_problems_are_listed(raw: httpx.Client) -> None:
    """Unknown members are listed together, in the order sent, but only when the known hold (measured)."""
    url = f"/v1/blocks/{ROOT}/children"
    assert invalid(raw.patch(url, json={"y": 1, "children": [], "x": 2})).splitlines() == [
        "body failed validation. Fix one:",
        "body.y should be not present, instead was `1`.",
        "body.x should be not present, instead was `2`.",
    ]
    assert invalid(raw.patch(url, json={"children": 1, "x": 2})) == (
        "body failed validation: body.children should be an array, instead was `1`."
    )


def test_forms_are_merged_where_they_lie_deepest(client: Client, raw: httpx.Client) -> None:
    """A reported refusal of a text in a number: the other types are listed with it, in this order."""
    source = make_source(client, {"Name": {"title": {}}, "N": {"number": {}}})
    parent = {"data_source_id": source}
    written = {"parent": parent, "properties": {"N": {"number": "30433455"}}}
    lines = invalid(raw.post("/v1/pages", json=written)).splitlines()
    assert lines[0] == "body failed validation. Fix one:"
    assert lines[1:5] == [
        "body.properties.N.title should be defined, instead was `undefined`.",
        "body.properties.N.rich_text should be defined, instead was `undefined`.",
        'body.properties.N.number should be a number or `null`, instead was `"30433455"`.',
        "body.properties.N.url should be defined, instead was `undefined`.",
    ]
    deeper = {"parent": parent, "properties": {"N": {"select": {"name": 5}}}}
    assert invalid(raw.post("/v1/pages", json=deeper)).splitlines()[1:] == [
        "body.properties.N.select.id should be defined, instead was `undefined`.",
        "body.properties.N.select.name should be a string, instead was `5`.",
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"page_size": "50"}, 'body.page_size should be a number or `undefined`, instead was `"50"`.'),
        ({"page_size": 0}, "body.page_size should be ≥ `1` or `undefined`, instead was `0`."),
        ({"start_cursor": None}, "body.start_cursor should be a string or `undefined`, instead was `null`."),
        ({"sorts": None}, "body.sorts should be an array or `undefined`, instead was `null`."),
        ({"page_size": 1.5}, "body.page_size should be an integer or `undefined`, instead was `1.5`."),
        ({"result_type": "x"}, 'body.result_type should be `"page"`, `"data_source"`, or `undefined`, instead'
         ' was `"x"`.'),
    ],
)  # fmt: skip
def test_optional_members_may_be_undefined(
    body: dict[str, Any], message: str, client: Client, raw: httpx.Client
) -> None:
    """The first of these is a report (2021), the form of the others was measured in Oct 2026."""
    source = make_source(client, {"Name": {"title": {}}})
    answer = raw.post(f"/v1/data_sources/{source}/query", json=body)
    assert invalid(answer) == f"body failed validation: {message}"


def test_query_strings_are_read_as_by_node(client: Client, raw: httpx.Client) -> None:
    assert invalid(raw.get("/v1/users?foo=0x10")) == (
        "query failed validation: query.foo should be not present, instead was `16`."
    )
    assert invalid(raw.get("/v1/users?foo=TRUE&bar=1.5")).splitlines()[1:] == [
        "query.foo should be not present, instead was `true`.",
        'query.bar should be not present, instead was `"1.5"`.',
    ]
    assert invalid(raw.get("/v1/users?foo[]=1")) == 'Conflicting values for "foo" in query parameters.'
    assert invalid(raw.get("/v1/users?foo[a]=1")) == (
        'The value of "foo" in query parameters must be a string, number, or boolean.'
    )
    assert invalid(raw.get(f"/v1/pages/{ROOT}?filter_properties[x]=1")) == (
        'The value of "filter_properties" in query parameters must be a string or list of strings'
    )
    assert raw.get(f"/v1/pages/{ROOT}?foo=1").status_code == 200
    assert raw.get(f"/v1/comments?block_id={ROOT}&foo=1").status_code == 200
    message = invalid(raw.request("GET", "/v1/users/me", json={"a": 1}))
    assert message == "body failed validation: body.a should be not present, instead was `1`."


def test_cursors_that_mean_nothing(client: Client, raw: httpx.Client) -> None:
    """Their shape is checked for children, comments and search, and not for users (measured)."""
    assert invalid(raw.get("/v1/users?start_cursor=bogus")) == "The start_cursor provided is invalid: bogus"
    shape = 'start_cursor should be a valid uuid or `undefined`, instead was `"bogus"`.'
    for path in (f"/v1/blocks/{ROOT}/children?", f"/v1/comments?block_id={ROOT}&"):
        assert invalid(raw.get(f"{path}start_cursor=bogus")) == f"query failed validation: query.{shape}"
    bogus = raw.post("/v1/search", json={"start_cursor": "bogus"})
    assert invalid(bogus) == f"body failed validation: body.{shape}"
    nothing = "95ba0116-6776-4c19-9e45-54e77415f0aa"
    refused = raw.get(f"/v1/comments?block_id={ROOT}&start_cursor={nothing}")
    assert invalid(refused) == f"The start_cursor provided is invalid: {nothing}"
    assert refused.json()["additional_data"]["tool_error_code"] == "invalid_cursor"


def test_search_sorts_are_refused_in_their_own_words(raw: httpx.Client) -> None:
    def refused(sort: Any) -> str:
        return invalid(raw.post("/v1/search", json={"sort": sort}))

    assert refused({}).startswith('body.sort should specify either `{ "property": "relevance" }` or')
    assert refused({"property": "x"}) == 'body.sort.property should be "relevance", instead was `x`.'
    assert "cannot include" in refused({"property": "relevance", "direction": "ascending"})
    assert refused({"timestamp": "created_time"}) == (
        'body.sort.timestamp should be "last_edited_time" when sorting by timestamp.'
    )
    assert refused({"direction": "up"}).splitlines() == [
        "body failed validation. Fix one:",
        "body.sort.timestamp should be defined, instead was `undefined`.",
        "body.sort.property should be defined, instead was `undefined`.",
        'body.sort.direction should be `"ascending"`, `"descending"`, or `undefined`, instead was `"up"`.',
    ]
    assert raw.post("/v1/search", json={"sort": {"property": "relevance"}}).status_code == 200


def test_third_level_of_children_is_refused(raw: httpx.Client) -> None:
    def nested(depth: int) -> dict[str, Any]:
        body: dict[str, Any] = {"rich_text": text("x")}
        if depth:
            body["children"] = [nested(depth - 1)]
        return {"type": "paragraph", "paragraph": body}

    assert raw.patch(f"/v1/blocks/{ROOT}/children", json={"children": [nested(2)]}).status_code == 200
    message = invalid(raw.patch(f"/v1/blocks/{ROOT}/children", json={"children": [nested(3)]}))
    assert 'paragraph.children should be not present, instead was `[{"type":"paragraph"' in message


def test_body_limit_is_the_frameworks_413(raw: httpx.Client) -> None:
    answer = raw.post("/v1/search", content=b'{"query":"' + b"x" * 512_000 + b'"}')
    assert answer.status_code == 413
    body = answer.json()
    assert list(body) == ["isNotionError", "errorId", "name", "message", "code"]
    assert body["name"] == "PayloadTooLargeError"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["x-notion-request-id"] != body["errorId"]


def test_ids(raw: httpx.Client) -> None:
    assert invalid(raw.get("/v1/pages/x")) == (
        'path failed validation: path.page_id should be a valid uuid, instead was `"x"`.'
    )
    assert "should be a valid uuid" in invalid(raw.get("/v1/pages/12345678-1234-1234-1234-123456789abc"))
    assert raw.get("/v1/pages/00000000-0000-0000-0000-000000000000").status_code == 404
    assert raw.get(f"/v1/pages/{ROOT.replace('-', '')}").json()["id"] == ROOT
    assert raw.get(f"/v1/pages/{ROOT.upper()}").status_code == 404


def test_not_found_names_the_integration(raw: httpx.Client) -> None:
    missing = "95ba0116-6776-4c19-9e45-54e77415f03c"
    answer = raw.get(f"/v1/pages/{missing}")
    assert refusal(answer) == (
        404,
        "object_not_found",
        f"Could not find page with ID: {missing}. Make sure the relevant pages and databases are shared with"
        ' your integration "Local Board".',
    )
    assert "integration_id" in answer.json()["additional_data"]


def test_query_refusals_in_their_order(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, {"Name": {"title": {}}, "N": {"number": {}}})
    url = f"/v1/data_sources/{source}/query"
    assert invalid(raw.post(url, json={"filter_properties": ["N"]})) == (
        'body failed validation: body.filter_properties should be not present, instead was `["N"]`.'
    )
    sort = [{"property": "Nope", "direction": "ascending"}]
    unknown = {"property": "Gone", "number": {"equals": 1}}
    body = {"sorts": sort, "filter": unknown, "start_cursor": "bogus"}
    assert invalid(raw.post(url, json=body)) == "Could not find sort property with name or id: Nope"
    assert (
        invalid(raw.post(url, json={**body, "sorts": []})) == "Could not find property with name or id: Gone"
    )
    query = f"{url}?filter_properties=Nix"
    assert (
        invalid(raw.post(query, json={"start_cursor": "bogus"}))
        == "The start_cursor provided is invalid: bogus"
    )
    assert invalid(raw.post(query, json={})) == (
        f"The schema for the data source with the following ID is malformed: {source}."
        " The provided `filter_properties` contains an invalid attribute: Nix."
    )
    wrong = {"filter": {"property": "N", "rich_text": {"equals": "1"}}}
    assert invalid(raw.post(url, json=wrong)) == (
        "The property type in the database does not match the property type of the filter provided:"
        " database property number does not match filter rich_text"
    )
    for size in (0, 1.5):
        assert "body.page_size should be" in invalid(raw.post(url, json={"page_size": size}))
    assert raw.post(url, json={"page_size": 101}).status_code == 200


def test_filter_nesting(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, {"Name": {"title": {}}})
    url = f"/v1/data_sources/{source}/query"
    leaf = {"property": "Name", "title": {"is_empty": True}}
    assert raw.post(url, json={"filter": {"and": [{"or": [leaf]}, leaf]}}).status_code == 200
    assert raw.post(url, json={"filter": {"and": [], "or": []}}).status_code == 200
    third = invalid(raw.post(url, json={"filter": {"and": [{"or": [{"and": [leaf]}]}]}}))
    names = [line.split(" ")[0].rpartition(".")[2] for line in third.splitlines()[1:]]
    assert third.startswith("body failed validation. Fix one:\nbody.filter.and[0].or[0].title should be")
    assert names[-4:] == ["formula", "unique_id", "rollup", "verification"]
    inner = invalid(raw.post(url, json={"filter": {"and": [{}]}})).splitlines()
    assert [line.split(" ")[0] for line in (inner[1], *inner[-2:])] == [
        "body.filter.and[0].title",
        "body.filter.and[0].or",
        "body.filter.and[0].and",
    ]
    top = invalid(raw.post(url, json={"filter": {}})).splitlines()
    assert [line.split(" ")[0] for line in top[1:4]] == [
        "body.filter.or",
        "body.filter.and",
        "body.filter.title",
    ]


def test_property_write_refusals(client: Client, raw: httpx.Client) -> None:
    schema: dict[str, Any] = {
        "Name": {"title": {}},
        "S": {"status": {}},
        "P": {"select": {}},
        "Date": {"date": {}},
    }
    source = make_source(client, {**schema, "At": {"created_time": {}}})

    def write(properties: dict[str, Any]) -> str:
        return invalid(
            raw.post("/v1/pages", json={"parent": {"data_source_id": source}, "properties": properties})
        )

    assert write({"S": {"status": {"name": "planned"}}}) == (
        'Invalid status option. Status option "planned" does not exist".'
    )
    assert write({"P": {"select": {"name": "High, really"}}}) == (
        "Invalid select option, commas not allowed: High, really"
    )
    assert write({"Date": {"date": {"start": "2022/01/02"}}}) == (
        "body failed validation: body.properties.Date.date.start should be a valid ISO 8601 date string,"
        ' instead was `"2022/01/02"`.'
    )
    assert write({"X": {"number": 1}}) == "X is not a property that exists."
    assert write({"S": {"select": {"name": "Done"}}}) == "S is expected to be status."
    assert write({"At": {"created_time": "2026-01-01"}}).startswith("body failed validation. Fix one:\n")


def test_block_type_cannot_change(client: Client, raw: httpx.Client) -> None:
    made = client.blocks.children.append(ROOT, children=[{"heading_1": {"rich_text": text("x")}}])["results"][
        0
    ]
    answer = raw.patch(f"/v1/blocks/{made['id']}", json={"paragraph": {"rich_text": []}})
    assert invalid(answer) == "Expected block type heading_1 in request body"


def test_trash(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, {"Name": {"title": {}}})
    page = make_page(client, source, {"Name": {"title": text("x")}})["id"]
    client.pages.update(page, in_trash=True)
    shown = client.pages.retrieve(page)
    assert shown["in_trash"] and shown["archived"]
    assert client.data_sources.query(source)["results"] == []
    assert [row["id"] for row in client.data_sources.query(source, in_trash=True)["results"]] == [page]
    assert raw.get(f"/v1/blocks/{page}/children").status_code == 404
    change = raw.patch(f"/v1/pages/{page}", json={"properties": {"Name": {"title": []}}})
    assert invalid(change) == (
        "Can't edit block that is archived. You must unarchive the block before editing."
    )
    assert invalid(raw.patch(f"/v1/blocks/{page}/children", json={"children": []})).startswith(
        "Can't edit block"
    )
    client.pages.update(page, in_trash=False)
    assert not client.pages.retrieve(page)["in_trash"]


def test_a_database_id_is_no_data_source_id(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, {"Name": {"title": {}}})
    database = client.data_sources.retrieve(source)["parent"]["database_id"]
    assert refusal(raw.get(f"/v1/data_sources/{database}"))[:2] == (404, "object_not_found")
    assert refusal(raw.get(f"/v1/databases/{source}"))[:2] == (404, "object_not_found")
    assert refusal(raw.post(f"/v1/databases/{database}/query", json={}))[1] == "invalid_request_url"


def test_page_sizes(client: Client, raw: httpx.Client) -> None:
    for size in (0, 101, 5000):
        assert raw.get(f"/v1/users?page_size={size}").json()["results"]
    empty = raw.get("/v1/users?page_size=-1").json()
    assert empty["results"] == []
    assert empty["next_cursor"] == raw.get("/v1/users").json()["results"][0]["id"]
    for size in (0, 101):
        assert "query.page_size should be" in invalid(
            raw.get(f"/v1/comments?block_id={ROOT}&page_size={size}")
        )


def test_long_values_are_cut_in_quotes(raw: httpx.Client) -> None:
    message = invalid(raw.post("/v1/search", json={"sort": "y" * 80}))
    assert (
        message
        == 'body failed validation: body.sort should be an object or `undefined`, instead was `"'
        + "y" * 54
        + "...`."
    )
