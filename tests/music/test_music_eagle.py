"""Eagle, against a real stand-in that has the quirks of both versions of its API."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from daemon.core.backoff import Backoff
from daemon.core.effects import ending
from daemon.core.evidence import Verdict, verdict
from daemon.core.status import RunState
from daemon.sdk import BlockedError, ConfigError, Done, Unreachable
from daemon.testing import sample_task
from handlers.music import Settings, flow_eagle
from handlers.music import eagle as module
from handlers.music.eagle import Eagle, Wish
from handlers.music.sheet import Sheet
from tests.music.conftest import Site, Sync, context, gates, library_files


@dataclass
class App:
    """What the stand-in holds, and how it misbehaves."""

    v2: bool
    base: str = ""
    name: str = "Music"
    delay: float = 0.0
    lose_answers: int = 0
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def add(self, body: dict[str, Any]) -> str:
        known = body.get("id") if self.v2 else None
        key = known or f"V1ITEM{len(self.items):07d}"
        size = Path(body["path"]).stat().st_size
        self.items[key] = {
            "id": key,
            "name": body["name"],
            "tags": list(body.get("tags") or []),
            "size": size,
            "url": body.get("website"),
            "isDeleted": False,
            "_at": time.monotonic() + self.delay,
        }
        return key


@pytest.fixture(params=[True, False], ids=["v2", "v1"])
def app(request: pytest.FixtureRequest) -> Iterator[App]:
    state = App(v2=request.param)

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def say(self, data: Any, status: int = 200) -> None:
            raw = json.dumps({"status": "success" if status == 200 else "error", "data": data}).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(raw)

        def visible(self) -> list[dict[str, Any]]:
            rows = []
            for item in state.items.values():
                done = time.monotonic() >= item["_at"]
                rows.append(
                    {k: v for k, v in item.items() if k != "_at"} | {"size": item["size"] if done else 0}
                )
            return rows

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {k: v[0] for k, v in parse_qs(parts.query).items()}
            state.calls.append(f"GET {parts.path}")
            if parts.path == "/api/application/info":
                return self.say({"version": "4.0.0", "buildVersion": "21" if state.v2 else "12"})
            if parts.path in ("/api/library/info", "/api/v2/library/info"):
                return self.say({"library": {"name": state.name}})
            if parts.path == "/api/item/info" and not state.v2:
                found = [r for r in self.visible() if r["id"] == query["id"]]
                return self.say(found[0]) if found else self.say(None, 500)
            if parts.path == "/api/item/list" and not state.v2:
                start, many = int(query.get("offset", 0)), int(query.get("limit", 200))
                return self.say(self.visible()[start : start + many])  # unknown filters are ignored
            if parts.path == "/api/v2/item/get" and state.v2:
                found = [r for r in self.visible() if r["id"] == query["id"]]
                return self.say({"data": found, "total": len(found), "offset": 0, "limit": 50})
            return self.say(None, 405)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.calls.append(f"POST {self.path}")
            if self.path in ("/api/item/addFromPath", "/api/v2/item/add"):
                key = state.add(body)
                if state.lose_answers:
                    state.lose_answers -= 1
                    return self.say(None, 500)  # committed, and the answer lost
                return self.say({"ids": [key]} if state.v2 else key)
            if self.path in ("/api/item/update", "/api/v2/item/update"):
                state.items[body["id"]]["tags"] = body["tags"]  # replaced, not merged
                return self.say({})
            return self.say(None, 405)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def wish(tmp_path: Path) -> Wish:
    path = tmp_path / "a.wav"
    path.write_bytes(b"x" * 1000)
    return Wish(
        track="0" * 20, format="wav", path=str(path), name="A - B", url="https://x.test", tags=("Late", "WAV")
    )


def adds(app: App) -> int:
    return sum("add" in call for call in app.calls)


def test_an_import_happens_once(app: App, wish: Wish) -> None:
    first = Eagle(app.base).bring(wish)
    again = Eagle(app.base).bring(wish)
    assert (first.how, again.how) == ("new", "there") and first.id == again.id
    assert adds(app) == 1 and len(app.items) == 1
    assert Eagle(app.base).v2 is app.v2
    if app.v2:
        assert first.id == wish.id and len(wish.id) == 13


def test_a_slow_copy_is_waited_for(app: App, wish: Wish) -> None:
    app.delay = 0.8
    began = time.monotonic()
    assert Eagle(app.base).bring(wish).bytes == 1000
    assert time.monotonic() - began >= 0.8


def test_a_lost_answer_makes_no_second_item(app: App, wish: Wish) -> None:
    app.lose_answers = 1
    assert Eagle(app.base).bring(wish).bytes == 1000
    assert adds(app) == 1 and len(app.items) == 1


def test_MU_28_tags_are_merged_and_never_replaced(app: App, wish: Wish) -> None:
    found = Eagle(app.base).bring(wish)
    app.items[found.id]["tags"] = ["a person's own", *([wish.marker] if not app.v2 else [])]
    Eagle(app.base).bring(wish)
    assert {"a person's own", "Late", "WAV"} <= set(app.items[found.id]["tags"])


def test_MU_8_more_items_than_a_page_are_all_seen(
    app: App, wish: Wish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 7)
    for n in range(40):
        app.items[f"OTHER{n}"] = {"id": f"OTHER{n}", "name": "A - B", "tags": [], "size": 1, "_at": 0.0}
    Eagle(app.base).bring(wish)
    assert Eagle(app.base).bring(wish).how == "there" and adds(app) == 1


def test_MU_9_another_open_library_is_refused(app: App, wish: Wish) -> None:
    app.name = "Holiday pictures"
    with pytest.raises(BlockedError, match="Holiday pictures"):
        Eagle(app.base, "Music").bring(wish)
    assert not app.items


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:41595", "https://127.0.0.1:1", "http://x@127.0.0.1:1", "http://127.0.0.1:1/api"]
)
def test_only_this_machine_is_asked(url: str) -> None:
    with pytest.raises(ConfigError):
        Eagle(url)


def test_an_app_that_is_not_running_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="Eagle does not answer"):
        Eagle("http://127.0.0.1:9")


def test_a_sync_brings_its_files_into_eagle(app: App, site: Site, sync: Sync) -> None:
    run = sync(site.url("aac.m4a"), eagle_base_url=app.base)
    assert isinstance(run.outcome, Done), run.outcome
    assert gates(run)["eagle.imported"] == "passed" and len(app.items) == 2


def test_eagle_down_ends_as_partial_and_the_same_task_looks_again(
    app: App, site: Site, sync: Sync, tmp_path: Path
) -> None:
    run = sync(site.url("aac.m4a"), eagle_base_url="http://127.0.0.1:9")
    assert isinstance(run.outcome, Done) and "Not in Eagle yet" in run.outcome.summary
    not_proved = [j.name for j in run.judged if j.required and j.result.value == "failed"]
    assert not_proved == ["eagle.imported"] and run.outcome.awaits == ("eagle.imported",)
    assert verdict(run.judged) is Verdict.PARTIAL and not run.context.made
    (gaps,) = [e.data for e in run.context.recorded if e.gate == "gaps"]
    assert any("Eagle" in line for line in gaps["gaps"]) and gaps["open"] >= 1
    ended = ending(run.outcome, run.judged, attempt=1, backoff=Backoff(), rng=lambda: 0.5)
    assert (ended.state, ended.retry_in, ended.counts) == (RunState.RETRYING, 900.0, False)
    again = sync(site.url("aac.m4a"), eagle_base_url=app.base)
    assert isinstance(again.outcome, Done) and gates(again)["eagle.imported"] == "passed"
    assert verdict(again.judged) is Verdict.SUCCESS
    assert len(app.items) == 2 and len(library_files(tmp_path / "home")) == 4


def test_MU_21_a_detected_track_gets_a_task_of_its_own_for_eagle(
    site: Site, sync: Sync, tmp_path: Path
) -> None:
    """What plays when the task looks again may be another track."""
    sheet = Sheet(mode="single", source={"url": site.url("aac.m4a")})
    sheet.track = {"id": "0" * 20, "artist": "Wren Hollow", "title": "Night Drive"}
    sheet.files = [{"format": "wav", "path": str(tmp_path / "x.wav")}]
    ctx = context(Settings(eagle_base_url="http://127.0.0.1:9"), tmp_path, tmp_path)
    outcome = flow_eagle.after(Done(summary="Made."), sample_task(), ctx, sheet)
    assert isinstance(outcome, Done) and outcome.awaits == ()
    ((key, draft),) = ctx.made.items()
    assert key == f"music-eagle:{'0' * 20}" and draft.url == site.url("aac.m4a")


def test_another_open_library_needs_a_person(app: App, site: Site, sync: Sync) -> None:
    app.name = "Holiday pictures"
    run = sync(site.url("aac.m4a"), eagle_base_url=app.base, eagle_library="Music")
    assert isinstance(run.outcome, Done) and run.outcome.awaits == ()
    assert gates(run)["eagle.imported"] == "failed" and not app.items
