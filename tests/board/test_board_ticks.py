"""Ticks on a real local board: what a half-typed row, a changed schema and our own events make of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from daemon.board import NotionBoard
from daemon.core.gates import Call, Decision, HandlerFacts
from daemon.core.ports import PageWrite
from daemon.core.snapshot import HandlerRecord
from daemon.core.status import Status
from daemon.reconcile import Policy
from daemon.store import Store, open_engine
from daemon.testing import QuietLog
from daemon.tick import Tick
from tests.board.conftest import Bench, claim, text
from tests.board.relay import error

REST = 20.0


@dataclass
class Workers:
    """The engine's and the registry's side of a tick: one handler that takes everything; nothing runs."""

    started: list[str] = field(default_factory=list)

    def submit(self, workflow: str, run: str, arrival: str = "") -> None:
        self.started.append(run)

    def state(self, workflow: str) -> str:
        return "PENDING" if workflow in self.started else ""

    def cancel(self, run: str, reason: str) -> bool:
        return False

    def working(self) -> list[str]:
        return list(self.started)

    def facts(self) -> dict[str, HandlerFacts]:
        return {"report": HandlerFacts(name="report")}

    def param_error(self, handler: str, parameters: str) -> str | None:
        return None

    def found(self) -> list[HandlerRecord]:
        return []


@dataclass
class Ticking:
    """A tick over the bench's board, with a store of its own; ``clock`` is the bench's."""

    bench: Bench
    board: NotionBoard
    store: Store
    workers: Workers
    log: QuietLog
    tick: Tick

    def decision(self, task: str) -> Decision | None:
        """What a tick, made now, decides about ``task``."""
        return self.tick.run().decisions.get(task)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The recorded events with this name."""
        return [dict(e.data) for e in self.store.events() if e.name == name]


@pytest.fixture
def ticking(bench: Bench, tmp_path: Path) -> Iterator[Ticking]:
    # Near the beginning of a minute: no edit can look older than it is, however long the test takes.
    bench.clock[0] = time.time() // 60 * 60 + 1
    engine = open_engine(f"sqlite:///{tmp_path / 'state.db'}")
    clock: Callable[[], float] = lambda: bench.clock[0]  # noqa: E731 - one clock for all parts
    store, workers, log = Store(engine, clock, "store1"), Workers(), QuietLog()
    board = bench.board()
    tick = Tick(
        board=board,
        store=store,
        runs=workers,
        handlers=workers,
        policy=lambda: Policy(host="h", concurrency=9, lease=900, interval=30, rest=REST, alone=True),
        clock=clock,
        log=log,
    )
    yield Ticking(bench, board, store, workers, log, tick)
    engine.dispose()


@pytest.fixture
def person(bench: Bench) -> Iterator[None]:
    """The hand is a person's, not the integration's."""
    made = bench.hand.http.post(f"{bench.hand.url}/_board/users", json={"name": "Ada", "email": "a@b.org"})
    bench.hand.http.headers["X-Board-Actor"] = made.json()["id"]
    yield
    del bench.hand.http.headers["X-Board-Actor"]


def test_pain_41_a_row_that_a_person_is_still_typing_is_not_claimed(ticking: Ticking, person: None) -> None:
    bench = ticking.bench
    task = bench.row("Make the rep", Handler=text("report"))
    held = ticking.decision(task)
    assert held is not None and (held.verdict, held.gate) == (Call.HOLD, "settle")
    assert held.next_look == bench.clock[0] + REST
    bench.later(10)
    bench.hand.edit(task, Task_Name={"title": [{"text": {"content": "Make the report of May"}}]})
    bench.later(REST - 5)
    held = ticking.decision(task)
    assert held is not None and held.gate == "settle", "the second edit begins the rest anew"
    bench.later(REST - 1)
    assert ticking.decision(task).gate == "settle"
    assert ticking.workers.started == []
    bench.later(1)
    ticking.tick.run()
    assert ticking.workers.started == [f"{task}.g1"]


def test_pain_41_a_row_from_the_api_does_not_wait(ticking: Ticking) -> None:
    task = ticking.bench.row(Handler=text("report"))
    ticking.tick.run()
    assert ticking.workers.started == [f"{task}.g1"]
    assert ticking.board.calls()["editor"] == 1


def test_pain_41_what_was_edited_minutes_ago_does_not_wait(ticking: Ticking, person: None) -> None:
    """The shown minute is over by more than the rest: the first look may claim it."""
    task = ticking.bench.row(Handler=text("report"))
    ticking.bench.later(60 + 120 + REST)
    ticking.tick.run()
    assert ticking.workers.started == [f"{task}.g1"]


@pytest.mark.parametrize("status", [403, 503])
def test_pain_41_an_editor_who_can_not_be_asked_for_counts_as_a_person(
    ticking: Ticking, person: None, status: int
) -> None:
    task = ticking.bench.row(Handler=text("report"))
    code = "restricted_resource" if status == 403 else "service_unavailable"
    refusal = error(status, code, "Insufficient permissions for this endpoint.")
    ticking.bench.relay.rule("GET", "/v1/users/", times=99, status=status, body=refusal)
    ticking.bench.stop.set()  # nothing is waited for: the first answer counts
    held = ticking.decision(task)
    assert held is not None and held.gate == "settle"
    ticking.bench.later(REST)
    ticking.tick.run()
    assert ticking.workers.started == [f"{task}.g1"]


def test_pain_43_an_address_that_is_signed_anew_is_no_edit(ticking: Ticking, person: None) -> None:
    """Files have another address in each answer. It neither keeps a row from being claimed nor is written
    back."""
    bench, board = ticking.bench, ticking.board
    bench.schema(Report=None)
    bench.schema(Report={"files": {}})
    upload = bench.hand("POST", "file_uploads", {"filename": "a.txt", "content_type": "text/plain"})
    sent = bench.hand.http.post(
        f"{bench.hand.url}/v1/file_uploads/{upload['id']}/send", files={"file": ("a.txt", b"x", "text/plain")}
    )
    assert sent.status_code == 200
    attached = {"files": [{"type": "file_upload", "file_upload": {"id": upload["id"]}}]}
    task = bench.row(Handler=text("report"), Report=attached)
    signed = iter(range(99))

    def sign(answer: dict[str, Any]) -> dict[str, Any]:
        for row in answer["results"]:
            row["properties"]["Report"]["files"][0]["file"]["url"] += f"?signature={next(signed)}"
        return answer

    bench.relay.rule("POST", "/v1/data_sources/", times=99, edit=sign)
    ticking.tick.run()
    first = board.look()[0].report
    assert first and first != board.look()[0].report
    bench.later(REST)
    ticking.tick.run()
    assert ticking.workers.started == [f"{task}.g1"]
    bench.relay.forget()
    held = claim(1, "store1/h", "abcd1234")
    page = board.get(task)
    assert page.claim is not None
    board.write(task, page.claim, PageWrite(why=page.why, attempts=1))
    assert held and [c.method for c in bench.relay.calls].count("PATCH") == 0


# ── drift ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_schema_that_does_not_fit_any_more_is_told_as_what_it_is(ticking: Ticking) -> None:
    """The event, the recorded decision and the page's Why all name the missing option and the fix."""
    bench, store = ticking.bench, ticking.store
    before, policy = bench.row(Handler=text("report")), ticking.tick._policy()
    ticking.tick._policy = lambda: Policy(host=policy.host, concurrency=0, lease=900, interval=30, alone=True)
    assert ticking.decision(before).gate == "capacity"
    options = bench.hand("GET", f"data_sources/{bench.source}")["properties"]["Status"]["status"]["options"]
    kept = [{"id": o["id"], "name": o["name"]} for o in options if o["name"] != "Completed"]
    bench.schema(Status={"status": {"options": kept}})
    bench.later(901)
    snapshot = ticking.tick.run()
    assert "no option “Completed”" in snapshot.board_error
    ticking.tick.run()
    (said,) = ticking.events("board.misfit")
    assert "no option “Completed”" in said["error"] and said["code"] == "config"
    assert ticking.events("board.unreachable") == []
    decision = store.decision(before)
    assert decision is not None and (decision.gate, decision.verdict) == ("schema", Call.HOLD)
    assert "no option “Completed”" in decision.reason and decision.would_change
    page = bench.hand("GET", f"pages/{before}")["properties"]["Why"]["rich_text"]
    assert "no option “Completed”" in page[0]["plain_text"]
    bench.schema(Status={"status": {"options": [*kept, {"name": "Completed"}]}})
    assert ticking.decision(before).gate == "capacity"
    assert len(ticking.events("board.back")) == 1


def test_a_token_that_was_revoked_is_not_a_board_that_is_down(ticking: Ticking) -> None:
    refusal = error(401, "unauthorized", "API token is invalid.")
    ticking.bench.relay.rule("POST", "/v1/data_sources/", times=9, status=401, body=refusal)
    ticking.tick.run()
    ticking.tick.run()
    assert [e["code"] for e in ticking.events("board.refused")] == ["auth"]
    assert ticking.events("board.unreachable") == ticking.events("board.misfit") == []


def test_a_renamed_property_is_kept_as_an_event(bench: Bench) -> None:
    told: list[tuple[list[str], list[str]]] = []
    board = bench.board(on_drift=lambda renamed, gone: told.append((list(renamed), list(gone))))
    board.look()
    bench.schema(Why={"name": "Why not"}, Result=None)
    bench.later(901)
    board.look()
    ((renamed, gone),) = told
    assert gone == ["result"] and any("Why not" in line for line in renamed)


# ── our own events ────────────────────────────────────────────────────────────────────────────────────


def test_pain_42_our_own_writes_come_back_as_events_and_cause_no_further_write(ticking: Ticking) -> None:
    """Each event makes a look, and a look at what is written already writes nothing: no loop."""
    bench, got = ticking.bench, []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    task = bench.row(Handler=text("nobody"))
    ticking.board.open()
    hooks = bench.hand.http.post(f"{bench.hand.url}/_board/webhooks", json={"url": address}).json()
    try:
        ticking.tick.run()
        assert ticking.board.get(task).status is Status.BLOCKED
        end = time.monotonic() + 20
        while not any(e.get("type") == "page.properties_updated" for e in got):
            assert time.monotonic() < end, got
            time.sleep(0.02)
        bench.relay.forget()
        for _ in got:
            ticking.tick.run()
        assert {c.method for c in bench.relay.calls} == {"POST"}, "looks only"
        assert all(c.path.split("?")[0].endswith("/query") for c in bench.relay.calls)
    finally:
        bench.hand.http.delete(f"{bench.hand.url}/_board/webhooks/{hooks['id']}")
        server.shutdown()
        server.server_close()
