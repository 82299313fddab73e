"""Transport against a real HTTP server that misbehaves by rule: which answers are repeated, and which
never."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.board import wire
from daemon.board.answers import QuotaError, Refused, meaning, retry_after
from daemon.board.budget import Budget
from daemon.board.transport import Transport
from daemon.core.errors import (
    Ambiguous,
    AuthError,
    ConfigError,
    HandoffdError,
    NotFound,
    PermanentError,
    TransientError,
    Unreachable,
)
from daemon.settings.model import BoardSettings
from daemon.testing import QuietLog
from tests.board.relay import Relay, error

HTML = "<!DOCTYPE html><html><body>Attention Required! | Cloudflare</body></html>"
OK = {"object": "page", "id": "x"}


@pytest.fixture
def server() -> Iterator[Relay]:
    relay = Relay()
    yield relay
    relay.close()


class Rig:
    def __init__(self, url: str, **settings: Any) -> None:
        self.stop = threading.Event()
        self.seen: list[tuple[str, str]] = []
        options = {"timeout": 2.0, "give_up": 8.0, **settings}
        self.transport = Transport(
            BoardSettings(base_url=url, **options),
            "ntn_secret",
            clock=time.time,
            stop=self.stop,
            log=structlog.get_logger(),
            on_call=lambda purpose, status, seconds: self.seen.append((purpose, status)),
        )

    def get(self) -> dict[str, Any]:
        return self.transport.call("get", "GET", "pages/x")

    def patch(self) -> dict[str, Any]:
        return self.transport.call("finish", "PATCH", "pages/x", body={"properties": {}})


@pytest.fixture
def rig(server: Relay) -> Iterator[Rig]:
    made = Rig(server.url)
    yield made
    made.transport.close()


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529, 429, 409, 408])
def test_a_read_is_asked_again(server: Relay, rig: Rig, status: int) -> None:
    server.rule(status=status, body=error(status, "some_code"))
    server.rule(status=200, body=OK)
    assert rig.get() == OK
    assert len(server.calls) == 2
    assert rig.seen == [("get", str(status)), ("get", "200")]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 409, 408])
def test_a_write_whose_fate_is_unknown_is_not_repeated_blindly(server: Relay, rig: Rig, status: int) -> None:
    server.rule(times=9, status=status, body=HTML)
    with pytest.raises(Ambiguous):
        rig.patch()
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [429, 529])
def test_a_write_that_was_not_carried_out_is_repeated(server: Relay, rig: Rig, status: int) -> None:
    server.rule(status=status, headers={"Retry-After": "1"}, body=error(status, "rate_limited"))
    server.rule(status=200, body=OK)
    begun = time.monotonic()
    rig.patch()
    assert time.monotonic() - begun >= 1.0


def test_pain_10_a_retry_after_of_600_s_is_never_cut(server: Relay, rig: Rig) -> None:
    """Nobody calls before it is over; the caller is told at once how long that is."""
    server.rule(times=9, status=429, headers={"Retry-After": "600"}, body=error(429, "rate_limited"))
    begun = time.monotonic()
    with pytest.raises(TransientError) as first:
        rig.get()
    with pytest.raises(TransientError) as second:
        rig.patch()
    assert time.monotonic() - begun < 30
    assert len(server.calls) == 1
    assert first.value.retry_after == 600
    assert second.value.retry_after is not None
    assert 595 < second.value.retry_after <= 600


def test_pain_11_a_blocked_integration_is_not_a_rate_limit(server: Relay, rig: Rig) -> None:
    body = error(429, "rate_limited", rate_limit_reason="public_api_request_blocked")
    server.rule(times=9, status=429, body=body)
    with pytest.raises(AuthError):
        rig.get()
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, error(401, "unauthorized", "API token is invalid."), AuthError),
        (403, error(403, "restricted_resource"), AuthError),
        (404, error(404, "object_not_found"), NotFound),
        (400, error(400, "validation_error", "X is expected to be status."), Refused),
        (400, error(400, "missing_version"), ConfigError),
        (413, {"isNotionError": False, "code": 413, "message": "Request body too large."}, Refused),
        (404, "<html>nginx</html>", ConfigError),
        (302, "", ConfigError),
        (403, error(403, "restricted_resource", "no", block_limit="block_creation"), QuotaError),
    ],
)
def test_what_is_wrong_is_not_repeated(
    server: Relay, rig: Rig, status: int, body: Any, kind: type[HandoffdError]
) -> None:
    for call in (rig.get, rig.patch):
        server.rule(times=1, status=status, body=body)
        with pytest.raises(kind) as caught:
            call()
        assert not isinstance(caught.value, TransientError)
    assert len(server.calls) == 2


def test_pain_36_a_cloudflare_403_is_a_network_block_not_a_lack_of_rights(server: Relay, rig: Rig) -> None:
    server.rule(times=99, status=403, headers={"cf-ray": "8"}, body=HTML)
    for call in (rig.get, rig.patch):
        with pytest.raises(Unreachable, match="403"):
            call()
    assert len(server.calls) == 2


@pytest.mark.parametrize("body", ["", HTML, '{"object": "page', "[1, 2]"])
def test_pain_13_an_answer_that_is_not_json_is_not_an_answer(server: Relay, rig: Rig, body: str) -> None:
    server.rule(status=200, body=body)
    server.rule(status=200, body=OK)
    assert rig.get() == OK
    server.rule(status=200, body=body)
    with pytest.raises(Ambiguous):
        rig.patch()


def test_pain_15_a_cut_connection(server: Relay, rig: Rig) -> None:
    server.rule(cut=True)
    server.rule(cut=True, status=200, body='{"object": "pa')
    server.rule(status=200, body=OK)
    assert rig.get() == OK
    for body in ("", '{"object": "pa'):
        server.rule(cut=True, status=200, body=body)
        with pytest.raises(Ambiguous):
            rig.patch()


def test_nothing_listens_a_write_is_unsent_and_so_not_ambiguous() -> None:
    relay = Relay()
    url = relay.url
    relay.close()
    rig = Rig(url, give_up=0.6)
    with pytest.raises(Unreachable):
        rig.patch()
    assert {status for _, status in rig.seen} == {"unsent"}
    assert len(rig.seen) >= 2
    rig.transport.close()


@pytest.mark.parametrize("head", [False, True], ids=["body", "headers"])
def test_an_answer_that_drips_ends_at_the_deadline(server: Relay, head: bool) -> None:
    """Each byte comes in time; all of them together would take 50 s."""
    rig = Rig(server.url, timeout=0.5, give_up=0.2)
    server.rule(times=9, status=200, body="x" * 1000, drip=0.05, drip_head=head)
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        rig.get()
    assert time.monotonic() - begun < 6
    with pytest.raises(Ambiguous):
        rig.patch()
    rig.transport.close()


def test_an_answer_without_end_is_cut_off(server: Relay, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "ANSWER_BYTES", 1000)
    server.rule(times=1, status=200, body={"id": "x" * 2000})
    with pytest.raises(Ambiguous, match="over 1000 bytes"):
        rig.patch()


def test_silence_ends_at_the_deadline(server: Relay) -> None:
    rig = Rig(server.url, timeout=0.3, give_up=0.2)
    server.rule(times=9, status=200, body=OK, delay=1.0)
    with pytest.raises(Ambiguous):
        rig.patch()
    rig.transport.close()


def test_it_gives_up_when_the_patience_is_over(server: Relay) -> None:
    rig = Rig(server.url, give_up=1.5)
    server.rule(times=999, status=502, body=HTML)
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="502"):
        rig.get()
    assert time.monotonic() - begun < 10
    assert 3 <= len(server.calls) <= 12
    rig.transport.close()


def test_a_stop_ends_every_wait(server: Relay, rig: Rig) -> None:
    server.rule(times=99, status=429, headers={"Retry-After": "5"}, body=error(429, "rate_limited"))
    threading.Timer(0.3, rig.stop.set).start()
    begun = time.monotonic()
    with pytest.raises(TransientError, match="stopping"):
        rig.get()
    assert time.monotonic() - begun < 4.8


def test_after_a_stop_a_first_try_is_still_made(server: Relay, rig: Rig) -> None:
    """The last writes of a drain go out."""
    rig.stop.set()
    server.rule(status=200, body=OK)
    assert rig.patch() == OK


def test_connections_are_kept_and_headers_are_right(server: Relay, rig: Rig) -> None:
    server.rule(times=3, status=200, body=OK)
    for _ in range(3):
        rig.get()
    assert len({call.peer for call in server.calls}) == 1
    headers = {k.lower(): v for k, v in server.calls[0].headers.items()}
    assert headers["authorization"] == "Bearer ntn_secret"
    assert headers["notion-version"] == "2025-09-03"


def test_the_proxies_of_the_environment_are_not_used(server: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    rig = Rig(server.url)
    server.rule(status=200, body=OK)
    assert rig.get() == OK
    rig.transport.close()


@pytest.mark.parametrize("token", ["", "two words", "new\nline", "ünï"])
def test_a_token_that_no_token_is(token: str) -> None:
    with pytest.raises(AuthError) as caught:
        Transport(BoardSettings(), token, clock=time.time, stop=threading.Event(), log=structlog.get_logger())
    assert not token or token not in str(caught.value)


def test_calls_are_counted_by_purpose(server: Relay, rig: Rig) -> None:
    server.rule(times=3, status=200, body=OK)
    rig.get()
    rig.get()
    rig.patch()
    assert rig.transport.calls() == {"get": 2, "finish": 1}


def test_retry_after_in_every_form() -> None:
    now = 1_800_000_000.0
    assert retry_after({"retry-after": "0"}, now) == 0
    assert retry_after({"retry-after": "1.5"}, now) == 1.5
    assert retry_after({"retry-after": "Fri, 15 Jan 2027 08:10:00 GMT"}, now) == 600
    assert retry_after({"retry-after": "soon"}, now) is None
    assert retry_after({}, now) is None
    body = '{"code": "rate_limited", "message": "x", "additional_data": {"retry_after": "49"}}'
    found = meaning(what="x", write=False, status=429, headers={}, body=body, now=now)
    assert isinstance(found, TransientError)
    assert found.retry_after == 49


@pytest.mark.parametrize("nonsense", ["nan", "inf", "-inf", "soon", "Sun, 99 Nov 2026"])
def test_a_retry_after_that_is_no_time_closes_nothing(server: Relay, rig: Rig, nonsense: str) -> None:
    server.rule(status=429, headers={"Retry-After": nonsense}, body=error(429, "rate_limited"))
    server.rule(status=200, body=OK)
    assert rig.get() == OK
    assert rig.transport.budget.closed_for() == 0


def test_a_date_to_retry_after_counts_by_the_services_own_clock() -> None:
    sent, later = "Tue, 24 Nov 2026 10:00:00 GMT", "Tue, 24 Nov 2026 10:01:30 GMT"
    assert retry_after({"retry-after": later, "date": sent}, now=0.0) == 90


def test_failed_calls_are_logged_with_their_request_id_and_never_with_the_token(
    server: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)  # of every library too
    log = QuietLog()
    transport = Transport(
        BoardSettings(base_url=server.url, timeout=2.0, give_up=8.0),
        "ntn_very_secret",
        clock=time.time,
        stop=threading.Event(),
        log=log,
    )
    answered = {**error(500, "internal_server_error"), "request_id": "in-the-body"}
    server.rule(status=502, headers={"x-notion-request-id": "in-a-header"}, body=answered)
    server.rule(status=500, body=answered)
    server.rule(status=403, headers={"cf-ray": "8f00-FRA"}, body=HTML)
    with pytest.raises(Unreachable):
        transport.call("get", "GET", "pages/x")
    failed = [fields for _, name, fields in log.lines if name == "board.call_failed"]
    assert [(f["status"], f["request_id"]) for f in failed] == [
        ("502", "in-a-header"),
        ("500", "in-the-body"),
        ("403", "8f00-FRA"),
    ]
    assert failed[0]["call"] == "GET /v1/pages/x"
    assert "very_secret" not in caplog.text + repr(log.lines)
    transport.close()


def test_pain_16_saved_but_not_answered_is_looked_at(server: Relay, rig: Rig) -> None:
    body = error(503, "service_unavailable", "The change was saved", committed_resource_id="x")
    server.rule(status=503, body=body)
    with pytest.raises(Ambiguous):
        rig.patch()
    assert len(server.calls) == 1


class Time:
    """A clock of its own for the budget."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_the_budget_holds_over_any_60_seconds() -> None:
    clock = Time()
    budget = Budget(180, monotonic=clock.monotonic, pause=clock.pause)
    sent = []
    for i in range(1000):
        budget.take(urgent=True, patience=0)
        sent.append(clock.now)
        clock.now += 0.01 * (i % 7)
    for i, start in enumerate(sent):
        assert sum(start <= t < start + 60 for t in sent[i:]) <= 180
    assert sent[-1] < 6 * 62


def test_held_places_count_until_they_are_used_or_given_back() -> None:
    clock = Time()
    budget = Budget(4, monotonic=clock.monotonic, pause=clock.pause)
    budget.hold(2, urgent=True, patience=0)
    budget.take(urgent=True, patience=0)
    clock.now += 100
    budget.use()  # counts from now on, not from when it was held
    for _ in range(2):
        budget.take(urgent=True, patience=0)
    assert clock.now == 100
    budget.release(1)
    budget.take(urgent=True, patience=0)
    assert clock.now == 100
    budget.take(urgent=True, patience=0)
    assert clock.now >= 160


def test_a_budget_of_one_call_is_no_trap() -> None:
    clock = Time()
    budget = Budget(1, monotonic=clock.monotonic, pause=clock.pause)
    budget.hold(2, urgent=True, patience=0)
    budget.use()
    budget.take(urgent=True, patience=0)
    assert clock.now >= 60


def test_a_burst_is_spent_at_once() -> None:
    clock = Time()
    budget = Budget(180, monotonic=clock.monotonic, pause=clock.pause)
    for _ in range(180):
        budget.take(urgent=True, patience=0)
    assert clock.now == 0


def test_looks_leave_a_reserve_for_writes() -> None:
    clock = Time()
    budget = Budget(40, monotonic=clock.monotonic, pause=clock.pause)
    for _ in range(30):
        budget.take(urgent=False, patience=0)
    assert clock.now == 0
    for _ in range(10):
        budget.take(urgent=True, patience=0)
    assert clock.now == 0
    budget.take(urgent=False, patience=0)
    assert clock.now >= 60


def test_a_look_stands_back_while_a_write_waits() -> None:
    order: list[str] = []
    lock = threading.Lock()
    gate = threading.Event()
    clock = Time()

    def pause(seconds: float) -> None:
        gate.wait(1)
        time.sleep(0.005)
        if gate.is_set() and threading.current_thread().name == "write":
            clock.now += 70

    budget = Budget(4, monotonic=clock.monotonic, pause=pause)
    for _ in range(4):
        budget.take(urgent=True, patience=0)

    def work(urgent: bool) -> None:
        budget.take(urgent=urgent, patience=0)
        with lock:
            order.append(threading.current_thread().name)

    threads = [
        threading.Thread(target=work, args=(name == "write",), name=name) for name in ("look", "write")
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert order == ["write", "look"]


def test_a_look_is_not_passed_by_writes_without_end() -> None:
    """Four threads write as fast as the budget lets them: a look that waits all that time gets its turn after
    as many writes as the reserve has places, and no sooner while writes wait."""
    scale = 60.0  # a minute of the budget in a second of the test
    order: list[str] = []
    over = threading.Event()

    def monotonic() -> float:
        return time.monotonic() * scale

    budget = Budget(40, monotonic=monotonic, pause=lambda seconds: time.sleep(seconds / scale))

    def write() -> None:
        while not over.is_set():
            budget.take(urgent=True, patience=0)
            order.append("write")

    writers = [threading.Thread(target=write) for _ in range(4)]
    for thread in writers:
        thread.start()
    while len(order) < 45:  # the window is spent: from here on each place has somebody waiting for it
        time.sleep(0.005)
    for _ in range(3):
        before = len(order)
        budget.take(urgent=False, patience=0)
        order.append("look")
        assert len(order) - before <= 10 + 1 + len(writers)
    over.set()
    for thread in writers:
        thread.join(10)
    assert order.count("look") == 3


def test_all_threads_share_one_budget_first_come_first_served() -> None:
    clock = time.monotonic
    budget = Budget(1000, monotonic=clock, pause=time.sleep)
    done: list[int] = []

    def work() -> None:
        for _ in range(50):
            budget.take(urgent=True, patience=0)
            done.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(done) == 400


def test_a_403_is_a_permanent_answer_only_from_the_api() -> None:
    found = meaning(what="x", write=True, status=403, headers={}, body=HTML, now=0)
    assert isinstance(found, Unreachable)
    assert not isinstance(found, PermanentError)


def test_the_service_is_spoken_to_over_tls_and_its_certificate_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that the machine trusts is needed; with it the same bounds hold as without TLS."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([openssl, *words.split(), "-out", cert, "-keyout", key], check=True, capture_output=True)
    relay = Relay(tls=(cert, key))
    try:
        strict = Rig(relay.url, give_up=0.1)
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            strict.get()
        assert relay.calls == []
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        rig = Rig(relay.url, timeout=1.0, give_up=0.1)
        relay.rule(times=2, status=200, body=OK)
        assert rig.get() == rig.patch() == OK
        assert len({call.peer for call in relay.calls}) == 1
        relay.rule(status=200, body=OK, drip=0.05, drip_head=True)
        with pytest.raises(Ambiguous):
            rig.patch()
        strict.transport.close()
        rig.transport.close()
    finally:
        relay.close()
