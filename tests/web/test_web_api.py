"""The JSON API, live events, health and metrics."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from daemon.core.errors import TransientError
from daemon.web import WebServer, stream
from daemon.web.app import ROUTES


def test_state_says_what_the_overview_says(world, http: httpx.Client) -> None:
    state = http.get("/api/v1/state").json()
    assert (state["version"], state["host"], state["local"]) == ("0.1.0", "studio-mini", True)
    assert state["counts"]["ready"] == 3
    assert state["counts"]["retrying"] == 1
    assert [a["kind"] for a in state["attention"]] == ["handler", "failed", "blocked", "review", "waiting"]
    assert state["running"][0]["step"] in ("encode", "collect")
    assert state["next_tick"] == world.clock.now + 26
    held = next(r for r in state["ready"] if r["title"].startswith("Publish"))
    assert held["decision"]["gate"] == "prerequisites"


def test_state_has_every_host_of_the_store(world, http: httpx.Client) -> None:
    here, silent, answers = http.get("/api/v1/state").json()["hosts"]
    assert (here["name"], here["state"], here["age_s"]) == ("studio-mini", "here", None)
    assert (answers["name"], answers["state"]) == ("rack-2", "answers")
    assert (silent["name"], silent["state"], silent["waiting"]) == ("attic", "silent", 1)
    assert 2.5 * 86400 <= silent["age_s"] < 2.6 * 86400
    assert silent["seen"] - silent["since"] == pytest.approx(6.5 * 86400, abs=60)
    assert (silent["handlers"], silent["offers"]) == (["handoff", "report"], ["volume:archive"])
    (run,) = answers["running"]
    assert (run["handler"], run["host"], run["state"]) == ("report", "rack-2", "running")
    with_work = {r["host"] for r in http.get("/api/v1/state").json()["running"]}
    assert with_work == {"studio-mini", "rack-2"}


def test_a_host_taken_over_is_gone_by_name(world, http: httpx.Client) -> None:
    import sqlalchemy as sa

    from daemon.store import tables

    with world.store.engine.begin() as connection:
        mine = tables.hosts.c.name == "attic"
        connection.execute(sa.update(tables.hosts).where(mine).values(gone="taken over by rack-2"))
    last = http.get("/api/v1/state").json()["hosts"][-1]
    assert (last["name"], last["state"], last["gone"]) == ("attic", "gone", "taken over by rack-2")


def test_when_the_board_is_silent_the_store_says_what_needs_attention(world, serve) -> None:
    def silent(purpose: str) -> None:
        raise TransientError("connection refused")

    world.board.fail = silent
    state = httpx.get(serve(world.parts()).url + "/api/v1/state").json()
    assert [a["kind"] for a in state["attention"]] == ["handler", "failed", "review", "waiting"]
    assert state["counts"]["failed"] == 1


def test_a_task_has_the_contract_s_shape(world, http: httpx.Client) -> None:
    done = next(t for t in world.board.pages.values() if "Angel" in t.title)
    found = http.get(f"/api/v1/tasks/{done.id}").json()
    wanted = {
        "id",
        "title",
        "status",
        "handler",
        "agent",
        "priority",
        "why",
        "result",
        "report",
        "attempts",
        "url",
        "runs",
    }
    assert wanted <= found.keys()
    assert found["runs"] == [f"{done.id}.g2", f"{done.id}.g1"]
    assert found["status"] == "Completed"
    dashed = f"{done.id[:8]}-{done.id[8:12]}-{done.id[12:16]}-{done.id[16:20]}-{done.id[20:]}"
    assert http.get(f"/api/v1/tasks/{dashed}").json() == found


def test_a_run_has_the_contract_s_shape(world, http: httpx.Client) -> None:
    done = next(t for t in world.board.pages.values() if "Angel" in t.title)
    found = http.get(f"/api/v1/runs/{done.id}.g2").json()
    wanted = {
        "run",
        "task",
        "handler",
        "generation",
        "host",
        "state",
        "started",
        "ended",
        "steps",
        "gates",
        "files",
    }
    assert wanted <= found.keys()
    assert [s["name"] for s in found["steps"]] == ["resolve", "download", "encode", "tag", "place", "verify"]
    assert found["steps"][0].keys() >= {"name", "state", "attempts", "seconds"}
    assert [g["result"] for g in found["gates"]] == ["passed", "passed", "passed", "unknown"]
    assert found["gates"][0].keys() >= {"name", "result", "required", "evidence"}
    assert [f["bytes"] for f in found["files"]] == [12_400_311, 66_900_120, 66_899_988]
    assert found["files"][0].keys() == {"path", "sha256", "bytes"}


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/tasks/zz",
        f"/api/v1/tasks/{'d' * 32}",
        "/api/v1/runs/zz",
        f"/api/v1/runs/{'d' * 32}.g1",
        "/api/v1/x",
    ],
)
def test_what_is_not_there_gets_the_envelope(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"].keys() == {"code", "message", "hint"}
    assert answer.json()["error"]["code"] == "not_found"


def test_a_wrong_method_gets_405_and_the_envelope(http: httpx.Client, csrf: str) -> None:
    for route in ROUTES:
        path = (
            route.path.replace("{task}", "a" * 32)
            .replace("{run}", "a" * 32 + ".g1")
            .replace("{name}", "app.css")
        )
        wrong = "POST" if "POST" not in (route.methods or ()) else "DELETE"
        if route.path == "/login":
            continue
        answer = http.request(wrong, path, headers={"x-csrf-token": csrf})
        assert answer.status_code == 405, path
        if path.startswith(("/api/", "/webhooks/", "/healthz", "/readyz", "/metrics")):
            assert answer.json()["error"]["code"] == "method_not_allowed"


def test_refresh_asks_for_a_look(world, http: httpx.Client, csrf: str) -> None:
    assert http.post("/api/v1/refresh").status_code == 403
    assert http.post("/api/v1/refresh").json()["error"]["code"] == "csrf"
    answer = http.post("/api/v1/refresh", headers={"x-csrf-token": csrf})
    assert (answer.status_code, world.refreshed) == (202, [world.clock.now])


def test_a_store_that_does_not_answer_is_503_with_the_envelope(world, http: httpx.Client) -> None:
    import sqlalchemy as sa

    with world.store.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE handoffd_runs"))
    for path in ("/api/v1/state", "/"):
        answer = http.get(path)
        assert answer.status_code == 503
        assert "the store did not answer" in answer.text
        assert "Traceback" not in answer.text


# ── health ────────────────────────────────────────────────────────────────────────────────────────


def test_alive_while_ticks_finish_and_503_when_they_do_not(world, http: httpx.Client) -> None:
    assert http.get("/healthz").json() == {
        "status": "ok",
        "tick_age_s": 4.0,
        "ticks": 9216,
        "late_after_intervals": 3.0,
    }
    world.clock.now += 85.9
    assert http.get("/healthz").status_code == 200
    world.clock.now += 0.2
    answer = http.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "stuck")


def test_a_planned_pause_is_not_stuck(world, http: httpx.Client) -> None:
    world.snapshot = replace(world.snapshot, next_tick=world.snapshot.at + 300)
    world.clock.now += 800
    assert http.get("/healthz").status_code == 200
    world.clock.now += 200
    assert http.get("/healthz").status_code == 503


def test_not_ready_says_why(world, http: httpx.Client) -> None:
    assert http.get("/readyz").json()["status"] == "ready"
    world.checks[2] = ("board", False, "401: the token was refused")
    answer = http.get("/readyz")
    assert answer.status_code == 503
    assert {"name": "board", "ok": False, "message": "401: the token was refused"} in answer.json()["checks"]
    assert "401: the token was refused" in http.get("/health").text


def test_metrics_are_prometheus_text(http: httpx.Client) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert [f.name for f in text_string_to_metric_families(answer.text)] == ["handoffd_up"]


# ── live events ───────────────────────────────────────────────────────────────────────────────────


def lines_of(site: WebServer, want: int, **request) -> Iterator[dict[str, str]]:
    """The first ``want`` messages of a stream."""
    with httpx.stream(
        "GET", site.url + request.pop("path", "/api/v1/events"), timeout=15, **request
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        message: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                message[name] = value
            elif "data" in message:
                yield message
                want -= 1
                if want == 0:
                    return
                message = {}
            else:
                message = {}


def test_events_resume_behind_the_last_one_seen(world, site: WebServer) -> None:
    known = [e.id for e in world.store.events()]
    first = list(lines_of(site, 3, headers={"last-event-id": "0"}))
    assert [int(m["id"]) for m in first] == known[:3]
    rest = list(lines_of(site, len(known) - 3, headers={"last-event-id": first[-1]["id"]}))
    assert [int(m["id"]) for m in rest] == known[3:]
    assert json.loads(first[0]["data"])["name"] == "task.claimed"
    assert [int(m["id"]) for m in lines_of(site, 1, path="/api/v1/events?after=1")] == [2]


def test_new_events_arrive_and_old_ones_do_not(world, site: WebServer) -> None:
    def later() -> None:
        while site._room.stream.listening == 0:
            time.sleep(0.02)
        time.sleep(0.2)
        world.store.event("task.finished", task="a" * 32, text="line\nid: 9\ndata: forged\n\n")

    threading.Thread(target=later, daemon=True).start()
    (message,) = lines_of(site, 1, headers={"last-event-id": "nonsense"})
    data = json.loads(message["data"])
    assert data["name"] == "task.finished"
    assert data["data"]["text"] == "line\nid: 9\ndata: forged\n\n", "one event is one message"


def test_a_new_snapshot_is_news(world, site: WebServer) -> None:
    def later() -> None:
        while site._room.stream.listening == 0:
            time.sleep(0.02)
        while not site._room.stream._state:
            time.sleep(0.02)
        time.sleep(0.1)
        world.snapshot = replace(world.snapshot, at=world.clock.now)

    threading.Thread(target=later, daemon=True).start()
    (found,) = lines_of(site, 1)
    assert found["event"] == "state"


def test_many_events_come_in_order_and_once(world, site: WebServer) -> None:
    last = world.store.last_events(1)[-1].id
    for i in range(stream.BATCH * 2 + 7):
        world.store.event("n", number=i)
    got = list(lines_of(site, stream.BATCH * 2 + 7, headers={"last-event-id": str(last)}))
    assert [json.loads(m["data"])["data"]["number"] for m in got] == list(range(stream.BATCH * 2 + 7))


def test_T80_streams_are_limited_and_places_come_back(site: WebServer, http: httpx.Client) -> None:
    with httpx.Client(base_url=site.url, timeout=10, verify=False) as client:
        streams = [client.stream("GET", "/api/v1/events") for _ in range(stream.STREAMS)]
        opened = [s.__enter__() for s in streams]
        assert all(o.status_code == 200 for o in opened)
        answer = http.get("/api/v1/events")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "streams")
        assert http.get("/").status_code == 200, "pages are served while all streams are taken"
        for s in streams:
            s.__exit__(None, None, None)
    until = time.monotonic() + 5
    while site._room.stream.listening and time.monotonic() < until:
        time.sleep(0.05)
    assert site._room.stream.listening == 0


def test_a_quiet_stream_beats(world, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.3)
    site = serve(world.parts())
    with httpx.stream("GET", site.url + "/api/v1/events", timeout=10) as answer:
        assert next((line for line in answer.iter_lines() if line == ": beat"), None), "it ended without one"
