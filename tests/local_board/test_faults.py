"""Faults by rule, the rate window, and webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from notion_client import Client

from daemon.local_board import BoardConfig
from daemon.local_board.faults import FaultRule
from daemon.local_board.server import BoardServer
from tests.local_board.conftest import NOW, ROOT, TOKEN, make_page, make_source, text

SCHEMA = {"Name": {"title": {}}, "N": {"number": {}}}


def add(raw: httpx.Client, **rule: Any) -> int:
    answer = raw.post("/_board/faults", json=rule)
    assert answer.status_code == 200, answer.text
    number: int = answer.json()["id"]
    return number


def test_controls_need_the_token(server: BoardServer) -> None:
    assert httpx.get(f"{server.url}/_board/faults", trust_env=False).status_code == 401


def test_rules_are_checked(raw: httpx.Client) -> None:
    for rule in ({"kind": "x"}, {"kind": "error", "pth": "y"}, {"kind": "error", "path": "("}):
        assert raw.post("/_board/faults", json=rule).status_code == 400


def test_error_before_and_after_the_effect(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, SCHEMA)
    page = make_page(client, source, {"N": {"number": 1}})["id"]
    change = {"properties": {"N": {"number": 2}}}
    add(raw, kind="error", method="PATCH", path="/v1/pages/", status=502, when="before")
    assert raw.patch(f"/v1/pages/{page}", json=change).status_code == 502
    assert client.pages.retrieve(page)["properties"]["N"]["number"] == 1
    add(raw, kind="error", method="PATCH", path="/v1/pages/", status=504, when="after")
    assert raw.patch(f"/v1/pages/{page}", json=change).json()["code"] == "gateway_timeout"
    assert client.pages.retrieve(page)["properties"]["N"]["number"] == 2
    assert [rule["hits"] for rule in raw.get("/_board/faults").json()["faults"]] == [1, 1]


def test_429_with_retry_after_and_html(raw: httpx.Client) -> None:
    add(raw, kind="error", status=429, retry_after=600)
    answer = raw.get("/v1/users/me")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "600")
    assert answer.json()["additional_data"]["retry_after"] == "600"
    add(raw, kind="error", status=403, html=True)
    answer = raw.get("/v1/users/me")
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")
    assert "x-notion-request-id" not in answer.headers


def test_cut_connection(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, SCHEMA)
    body = {"parent": {"data_source_id": source}, "properties": {}}
    for when, rows in (("before", 0), ("after", 1)):
        add(raw, kind="cut", method="POST", path="/v1/pages$", when=when)
        with pytest.raises(httpx.RemoteProtocolError):
            raw.post("/v1/pages", json=body)
        assert len(client.data_sources.query(source)["results"]) == rows


def test_delay(raw: httpx.Client) -> None:
    add(raw, kind="delay", delay=0.2)
    begin = time.monotonic()
    raw.get("/v1/users/me")
    assert time.monotonic() - begin >= 0.2


def test_probability_is_repeatable(server: BoardServer, raw: httpx.Client) -> None:
    def run() -> list[int]:
        server.app.state.board.faults.remove()
        rule = FaultRule(kind="error", status=503, probability=0.5, seed=3, count=None)
        server.app.state.board.faults.add(rule)
        return [raw.get("/v1/users/me").status_code for _ in range(20)]

    first = run()
    assert run() == first
    assert set(first) == {200, 503}


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_stale_query(kind: str, tmp_path: Any) -> None:
    from tests.local_board.conftest import make_client

    db = ":memory:" if kind == "memory" else tmp_path / "board.db"
    headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2025-09-03"}
    with BoardServer(BoardConfig(db=db, token=TOKEN, seed=1)) as server:
        client = make_client(server.url)
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as raw:
            source = make_source(client, SCHEMA)
            page = make_page(client, source, {"N": {"number": 1}})["id"]
            add(raw, kind="stale_query", path="/query$", count=1)
            client.pages.update(page, properties={"N": {"number": 2}})
            wanted = {"property": "N", "number": {"equals": 1}}
            assert len(client.data_sources.query(source, filter=wanted)["results"]) == 1
            assert client.data_sources.query(source, filter=wanted)["results"] == []
            assert client.pages.retrieve(page)["properties"]["N"]["number"] == 2
        client.close()


def test_renamed_property(client: Client, raw: httpx.Client) -> None:
    source = make_source(client, SCHEMA)
    page = make_page(client, source, {"N": {"number": 1}})
    identifier = page["properties"]["N"]["id"]
    add(raw, kind="rename_property", path="/query$", data_source=source, property="N", to="Number")
    wanted = {"filter": {"property": "N", "number": {"equals": 1}}}
    answer = raw.post(f"/v1/data_sources/{source}/query", json=wanted)
    assert answer.json()["message"] == "Could not find property with name or id: N"
    by_id = client.data_sources.query(source, filter={"property": identifier, "number": {"equals": 1}})
    assert by_id["results"][0]["properties"]["Number"]["number"] == 1


def test_rate_window() -> None:
    moment = {"now": NOW}
    config = BoardConfig(db=":memory:", token=TOKEN, rate_limit=3, now=lambda: moment["now"])
    headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2025-09-03"}
    with (
        BoardServer(config) as server,
        httpx.Client(base_url=server.url, headers=headers, trust_env=False) as raw,
    ):
        assert [raw.get("/v1/users/me").status_code for _ in range(4)] == [200, 200, 200, 429]
        moment["now"] = NOW.replace(minute=1, second=45)
        answer = raw.get("/v1/users/me")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
        assert answer.json()["message"] == "You have been rate limited. Please try again later."
        moment["now"] = NOW.replace(minute=2, second=16)
        assert raw.get("/v1/users/me").status_code == 200
        assert answer.headers["date"] == "Sat, 27 Jun 2026 17:01:45 GMT"


class Receiver:
    """A subscriber that remembers what came, and answers with prepared statuses (200 when there are none)."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, Any], str | None, bytes]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((json.loads(body), self.headers["x-notion-signature"], body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as inherited
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def wait(self, count: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.got) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.got) >= count


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_webhook_handshake_signature_and_retry(client: Client, raw: httpx.Client, receiver: Receiver) -> None:
    subscription = {"url": receiver.url, "events": ["page.created"], "retry_base": 0.01}
    secret = raw.post("/_board/webhooks", json=subscription).json()["verification_token"]
    assert receiver.got[0][0] == {"verification_token": secret}
    receiver.statuses = [500]
    page = client.pages.create(parent={"page_id": ROOT}, properties={"title": text("x")})
    receiver.wait(3)
    (first, signature, body), (second, _, _) = receiver.got[1:3]
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    assert signature == expected
    assert first["entity"] == {"id": page["id"], "type": "page"}
    assert (first["type"], first["attempt_number"], second["attempt_number"]) == ("page.created", 1, 2)
    assert first["id"] == second["id"]
    assert first["authors"] == [{"id": page["created_by"]["id"], "type": "bot"}]


def test_lost_and_duplicated_webhooks(client: Client, raw: httpx.Client, receiver: Receiver) -> None:
    raw.post("/_board/webhooks", json={"url": receiver.url})
    add(raw, kind="lost_webhook", path="comment.created")
    add(raw, kind="duplicate_webhook", path="comment.created")
    for _ in range(3):
        client.comments.create(parent={"page_id": ROOT}, rich_text=text("x"))
    receiver.wait(4)
    time.sleep(0.1)
    ids = [payload["id"] for payload, _, _ in receiver.got[1:]]
    assert len(ids) == 3
    assert len(set(ids)) == 2


def test_failed_handshake_makes_no_subscription(raw: httpx.Client, receiver: Receiver) -> None:
    receiver.statuses = [404]
    assert raw.post("/_board/webhooks", json={"url": receiver.url}).status_code == 400
    assert raw.get("/_board/webhooks").json() == {"webhooks": []}


def test_a_person_edits(client: Client, raw: httpx.Client) -> None:
    person = raw.post("/_board/users", json={"name": "Ada", "email": "ada@example.com"}).json()["id"]
    source = make_source(client, SCHEMA)
    page = make_page(client, source, {})["id"]
    change = {"properties": {"N": {"number": 5}}}
    edited = raw.patch(f"/v1/pages/{page}", json=change, headers={"X-Board-Actor": person}).json()
    assert edited["last_edited_by"]["id"] == person
    events = raw.get("/_board/events?type=page.properties_updated").json()["events"]
    assert events[-1]["author"] == person


def test_clock_control(client: Client, raw: httpx.Client) -> None:
    raw.post("/_board/clock", json={"now": "2027-01-02T03:04:59Z"})
    page = client.pages.create(parent={"page_id": ROOT}, properties={"title": text("x")})
    assert page["created_time"] == "2027-01-02T03:04:00.000Z"
    raw.post("/_board/clock", json={"advance_ms": 1000})
    assert client.pages.update(page["id"], icon=None)["last_edited_time"] == "2027-01-02T03:05:00.000Z"


def test_foreign_host_needs_a_real_token() -> None:
    with pytest.raises(ValueError, match="token"):
        BoardServer(BoardConfig(db=":memory:", token="short"), host="0.0.0.0")
