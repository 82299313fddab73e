"""Webhooks (T65–T73 of the reliability study): signed, kept before answered, never trusted."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from daemon.web import WebServer, signed, webhooks

SECRET = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"
TOKEN = "correct-horse-battery-staple"
PAGE = "7" * 32


def event(identifier: str = "367cba44-b6f3-4c92-81e7-6a2e9659efd4", **more: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "timestamp": "2026-01-14T09:29:58.000Z",
        "type": "page.properties_updated",
        "attempt_number": 1,
        "entity": {"id": PAGE, "type": "page"},
        "data": {"updated_properties": ["XGe%40"]},
        **more,
    }


def sign(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


Send = Callable[..., httpx.Response]


@pytest.fixture
def paired(world, serve) -> WebServer:
    return serve(world.parts(notion_webhook_secret=SECRET, token=TOKEN))


@pytest.fixture
def client(paired: WebServer, connect) -> Iterator[httpx.Client]:
    with connect(paired) as client:
        yield client


@pytest.fixture
def send(client: httpx.Client) -> Send:
    def post(what: Any, signature: str | None = None, **headers: str) -> httpx.Response:
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        kept = {"content-type": "application/json", "host": "tunnel.example"}
        kept["x-notion-signature"] = sign(body) if signature is None else signature
        return client.post("/webhooks/notion", content=body, headers=kept | headers)

    return post


def recorded(world) -> list[str]:
    return [e.data["event_id"] for e in world.store.events() if e.name == webhooks.EVENT]


def test_a_signed_event_is_kept_then_passed_on_then_a_look_is_asked(world, send: Send) -> None:
    answer = send(event())
    assert (answer.status_code, answer.json()) == (200, {"event": "kept"})
    assert recorded(world) == [event()["id"]]
    kept = next(e for e in world.store.events() if e.name == webhooks.EVENT)
    assert (kept.task, kept.data["type"]) == (PAGE, "page.properties_updated")
    assert world.events == [event()]
    assert world.refreshed


def test_T65_other_signatures_are_refused(world, send: Send, paired: WebServer) -> None:
    body = json.dumps(event()).encode()
    good = sign(body)
    sha1 = "sha1=" + hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    for bad in (
        "",
        "sha256=",
        good[:-1],
        good + "0",
        good.upper(),
        good.removeprefix("sha256="),
        f"x{good}",
        sha1,
        sign(body, "other"),
        sign(body + b" "),
        "sha256=" + "0" * 64,
        f"{good},{good}",
        "sha256=é" + "0" * 63,
    ):
        answer = send(body, signature=bad.encode("latin-1") if not bad.isascii() else bad)
        assert answer.status_code == 401, bad
        assert SECRET not in answer.text
    twice = [("x-notion-signature", good), ("x-notion-signature", good), ("content-type", "application/json")]
    assert httpx.post(paired.url + "/webhooks/notion", content=body, headers=twice).status_code == 401
    none = httpx.post(
        paired.url + "/webhooks/notion", content=body, headers={"content-type": "application/json"}
    )
    assert none.status_code == 401
    assert not recorded(world)
    assert not world.refreshed


def test_T66_replays_have_no_effect(world, send: Send) -> None:
    send(event())
    for _ in range(30):
        assert send(event(attempt_number=2)).json() == {"event": "known"}
    assert len(recorded(world)) == len(world.refreshed) == len(world.events) == 1
    world.clock.now += signed.OLD + 10
    assert send(event("another-event-id")).json() == {"event": "old"}
    assert len(recorded(world)) == 1


def test_T66_known_events_are_known_after_a_restart(world, serve, send: Send) -> None:
    send(event())
    again = serve(world.parts(notion_webhook_secret=SECRET))
    body = json.dumps(event()).encode()
    headers = {"content-type": "application/json", "x-notion-signature": sign(body)}
    assert httpx.post(again.url + "/webhooks/notion", content=body, headers=headers).json() == {
        "event": "known"
    }


def test_an_event_that_could_not_be_kept_gets_503_and_no_look(world, send: Send) -> None:
    with world.store.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE handoffd_events"))
    assert send(event()).status_code == 503
    assert not world.refreshed
    assert not world.events


def test_T68_a_token_is_taken_only_while_a_pairing_is_open(world, serve) -> None:
    site = serve(world.parts())
    hook = site.url + "/webhooks/notion"
    with httpx.Client(base_url=site.url, verify=False) as client:

        def knock(token: str, **more: Any) -> httpx.Response:
            body = json.dumps({"verification_token": token, **more}).encode()
            headers = {"content-type": "application/json", "x-notion-signature": sign(body, token)}
            return client.post("/webhooks/notion", content=body, headers=headers)

        assert knock("secret_attacker_0123456789").status_code == 503
        form = {"csrf": client.get("/health").text.split('name="csrf" value="')[1].split('"')[0]}
        assert client.post("/health/pairing").status_code == 403
        assert client.post("/health/pairing", data=form).status_code == 303
        assert "Pairing is open" in client.get("/health").text
        for bad in ("short", "é" * 30, "x" * 300):
            assert knock(bad).status_code == 400
        assert knock(SECRET).json() == {"pairing": "done"}
        page = client.get("/health").text
        assert SECRET[:6] in page
        assert "secrets/notion_webhook_secret" in page
        assert SECRET not in page
        assert world.kept == [SECRET]
        assert knock("secret_attacker_0123456789").status_code == 401, "one token, then signatures count"
        assert knock(SECRET).status_code == 409, "well signed, but it pairs no more"
        body = json.dumps(event()).encode()
        headers = {"content-type": "application/json", "x-notion-signature": sign(body)}
        assert client.post(hook, content=body, headers=headers).json() == {"event": "kept"}
        assert client.post("/health/pairing", data=form).status_code == 409
    assert SECRET not in json.dumps([e.data for e in world.store.events()])


def test_T68_a_pairing_closes_by_itself(world, serve) -> None:
    site = serve(world.parts())
    with httpx.Client(base_url=site.url, verify=False) as client:
        form = {"csrf": client.get("/health").text.split('name="csrf" value="')[1].split('"')[0]}
        client.post("/health/pairing", data=form)
        world.clock.now += webhooks.PAIRING + 1
        answer = client.post("/webhooks/notion", json={"verification_token": SECRET})
        assert answer.status_code == 503
    assert not world.kept


BOMBS = (
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"id": ' + b"9" * 100_000 + b"}",
    b'{"id": NaN}',
    b'{"id": Infinity}',
    b'{"id": "x", "id": "y"}',
    b'{"id": "\\ud800abcdefgh", "type": "page.created"}',
    b'{"id": "a\\u0000bcdefghij", "type": "page.created"}',
    b"\xff\xfe{}",
    b"",
    b"null",
    b'"text"',
    b"[]",
    b"{}",
    b'{"id": 5, "type": "page.created"}',
    b'{"id": "../../etc/passwd", "type": "page.created"}',
    b'{"id": "12345678", "type": "<script>"}',
    b'{"id": "12345678"}',
)


def test_T71_json_bombs_are_400(world, send: Send) -> None:
    for bomb in BOMBS:
        assert send(bomb).status_code == 400, bomb[:40]
    assert not recorded(world)


def test_odd_but_signed_events_are_kept_without_trust(world, send: Send) -> None:
    odd = (
        event("odd-00001", entity=None),
        event("odd-00002", entity={"id": ["x"]}),
        event("odd-00003", entity={"id": "../../x"}),
        event("odd-00004", timestamp="yesterday"),
        event("odd-00005", timestamp=5),
        event("odd-00006", timestamp="9999-12-31T23:59:59Z"),
    )
    for item in odd:
        assert send(item).status_code == 200, item
    assert len(recorded(world)) == len(odd)


def test_T69_other_types_and_sizes_are_refused(send: Send) -> None:
    assert send(event(), **{"content-type": "text/plain"}).status_code == 415
    assert send(b"{" + b" " * 300_000 + b"}").status_code == 413
    assert send(event(), **{"content-encoding": "gzip"}).status_code == 415
    assert send(event(), origin="http://evil.example").status_code == 403


def test_T74_a_tunnel_reaches_the_webhooks_and_nothing_else(paired: WebServer, send: Send) -> None:
    assert send(event()).status_code == 200
    for path in ("/", "/api/v1/state", "/metrics", "/healthz", "/webhooks", "/v1/users/me", "/tasks"):
        assert httpx.get(paired.url + path, headers={"host": "tunnel.example"}).status_code == 421


@given(st.binary(max_size=400))
def test_anything_is_parsed_or_refused(body: bytes) -> None:
    try:
        found = signed.parse(body)
    except signed.NotJson:
        return
    assert isinstance(found, dict)


@given(
    st.dictionaries(
        st.sampled_from(("id", "type", "entity", "timestamp")), st.text() | st.integers() | st.none()
    )
)
def test_what_is_no_event_is_refused(found: dict[str, Any]) -> None:
    try:
        kept = signed.delivery(found)
    except signed.NotJson:
        return
    assert (kept.id, kept.kind, kept.page) == (found["id"], found["type"], "")


def test_remembered_ids_are_bounded() -> None:
    seen = signed.Remembered()
    for i in range(signed.SEEN + 50):
        seen.add(str(i), float(i) / 1000)
    assert "0" not in seen
    assert str(signed.SEEN + 49) in seen
    seen.add("late", signed.REMEMBER + 10_000)
    assert str(signed.SEEN) not in seen


# ── music ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def link(client: httpx.Client) -> Send:
    def post(body: Any, **headers: str) -> httpx.Response:
        kept = {"authorization": f"Bearer {TOKEN}", "host": "tunnel.example"} | headers
        return client.post("/webhooks/music", json=body, headers=kept)

    return post


def test_a_link_becomes_a_task_with_a_stable_key(world, link: Send) -> None:
    answer = link({"url": "https://SoundCloud.com/m83/midnight-city/?si=abc&utm_source=x#t=3"})
    assert answer.status_code == 200
    assert answer.json()["id"] == "9" * 32
    link({"url": "https://soundcloud.com/m83/midnight-city"})
    assert world.links[0][1] == world.links[1][1] == answer.json()["key"]
    world.clock.now += 86400
    link({"url": "https://soundcloud.com/m83/midnight-city"})
    assert world.links[2][1] != world.links[0][1], "another day, another task"
    link({"url": "https://soundcloud.com/a"}, **{"idempotency-key": "k1"})
    link({"url": "https://soundcloud.com/a"}, **{"idempotency-key": "k1"})
    link({"url": "https://soundcloud.com/a"}, **{"idempotency-key": "k2"})
    keys = [k for _, k in world.links[3:]]
    assert keys[0] == keys[1] != keys[2]


def test_the_music_webhook_needs_the_token_and_a_web_address(world, link: Send, serve) -> None:
    url = {"url": "https://soundcloud.com/a"}
    assert link(url, authorization="Bearer wrong").status_code == 401
    assert link(url, authorization="").status_code == 401
    for bad in (
        {},
        {"url": 5},
        {"url": "javascript:alert(1)"},
        {"url": "file:///etc/passwd"},
        {"url": "https://"},
        {"url": "https://a/" + "x" * 3000},
        {"url": "https://a\n/b"},
    ):
        assert link(bad).status_code == 422, bad
    assert link([]).status_code == 400
    assert link(url, **{"idempotency-key": "x" * 201}).status_code == 422
    assert not world.links
    bare = serve(world.parts())
    assert httpx.post(bare.url + "/webhooks/music", json=url).json()["error"]["code"] == "no_token"
    silent = serve(world.parts(token=TOKEN, music_webhook=None))
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert (
        httpx.post(silent.url + "/webhooks/music", json=url, headers=headers).json()["error"]["code"]
        == "no_music"
    )


def test_keys_are_of_the_day_in_utc() -> None:
    evening = datetime(2026, 1, 14, 23, 59, 59, tzinfo=UTC).timestamp()
    assert webhooks.key_of("https://a.b/c", "", evening) != webhooks.key_of("https://a.b/c", "", evening + 2)
    assert webhooks.canonical("HTTPS://A.b:443/c/?b=2&a=1&fbclid=9") == "https://a.b/c?a=1&b=2"
    assert webhooks.canonical("http://a.b:8080") == "http://a.b:8080"
