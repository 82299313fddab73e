"""The Tracks database, on a real local board over the daemon's own client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from daemon.board import NotionBoard
from daemon.local_board import BoardConfig
from daemon.local_board.server import BoardServer
from daemon.sdk import Blocked, Done, Failed, NeedsReview, Row
from daemon.settings.model import BoardSettings
from daemon.testing import HandlerRun, run_handler, sample_task
from handlers.music import MusicSync, Settings, tracks
from tests.board import tracks as made_by_hand
from tests.music.conftest import LOOPBACK, Site, answer, context, gates, library_files

TOKEN = "ntn_local_test_token"


@pytest.fixture(scope="module")
def board() -> Iterator[BoardServer]:
    with BoardServer(BoardConfig(db=":memory:", token=TOKEN)) as server:
        yield server


@dataclass
class Desk:
    """A Tracks database, a person's hand on it, and the handler that runs beside it."""

    hand: Callable[..., dict[str, Any]]
    source: str
    client: NotionBoard
    run: Callable[..., HandlerRun]

    def row(self, title: str, **properties: Any) -> str:
        return made_by_hand.row(self.hand, self.source, title, **properties)

    def read(self, row: str) -> Row:
        rows = self.client.rows("tracks")
        assert rows is not None
        return rows.read(row)

    def all(self) -> list[Row]:
        rows = self.client.rows("tracks")
        assert rows is not None
        return rows.first({}, 100, lambda row: False)


@pytest.fixture
def desk(board: BoardServer, tmp_path: Path) -> Iterator[Desk]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2025-09-03"}
    http = httpx.Client(trust_env=False, timeout=20, verify=False, headers=headers)

    def hand(method: str, path: str, body: Any = None) -> dict[str, Any]:
        response = http.request(method, f"{board.url}/v1/{path}", json=body)
        response.raise_for_status()
        said: dict[str, Any] = response.json()
        return said

    database, source = made_by_hand.create(hand)
    client = NotionBoard(
        BoardSettings(base_url=board.url, tracks_database_id=database, rate_limit=10_000),
        TOKEN,
        clock=time.time,
        stop=threading.Event(),
        log=structlog.get_logger(),
    )
    rows = client.rows("tracks")
    assert rows is not None
    count = [0]

    def run(url: str = "", parameters: str = "", **settings: Any) -> HandlerRun:
        count[0] += 1
        home, work = tmp_path / "home", tmp_path / "work" / str(count[0])
        work.mkdir(parents=True)
        home.mkdir(exist_ok=True)
        chosen = Settings(**{"allow_hosts": LOOPBACK, "sources": ("tracks-db",), "search": (), **settings})
        ctx = context(chosen, home, work, f"{count[0]:032x}")
        ctx.databases["tracks"] = rows
        return run_handler(MusicSync, sample_task(url=url, parameters=parameters), home, context=ctx)

    yield Desk(hand, source, client, run)
    client.close()
    http.close()


def evidence(run: HandlerRun, gate: str) -> list[Any]:
    return [e for e in run.context.recorded if e.gate == gate]


def test_a_track_gets_one_row_with_its_paths_read_back(desk: Desk, site: Site, tmp_path: Path) -> None:
    run = desk.run(site.url("aac.m4a"))
    assert isinstance(run.outcome, Done), run.outcome
    assert gates(run)["tracks.row"] == "passed"
    (row,) = desk.all()
    said = row.values
    assert (said["title"], said["artist"]) == ("Night Drive", "Wren Hollow")
    assert said["downloaded"] is True and said["duration_s"] == pytest.approx(4.0, abs=0.05)
    assert said["stage"] == ["Format Conversion Complete"] and said["error"] == ""
    for kind in ("m4a", "aiff", "wav"):
        assert Path(said[f"{kind}_path"]).is_file()
    (proof,) = evidence(run, "tracks.row")
    assert proof.data["made"] is True and proof.data["read_back"]["m4a_path"] == said["m4a_path"]
    again = desk.run(site.url("aac.m4a"))
    assert gates(again)["tracks.row"] == "passed" and len(desk.all()) == 1


def test_MU_24_stage_and_error_are_replaced_and_a_persons_mark_stays(desk: Desk, site: Site) -> None:
    url = site.url("aac.m4a")
    row = desk.row(
        "My own words", Source_URL=url, Error="timed out", Audio_Processing=["SC_404", "My own mark"]
    )
    run = desk.run(url)
    assert gates(run)["tracks.row"] == "passed"
    said = desk.read(row).values
    assert said["stage"] == ["My own mark", "Format Conversion Complete"] and said["error"] == ""
    assert said["title"] == "My own words" and said["artist"] == "Wren Hollow"
    assert len(desk.all()) == 1


def test_MU_6_a_row_of_the_same_name_is_another_track(desk: Desk, site: Site) -> None:
    desk.row("Night Drive", Artist_Name="Wren Hollow")
    desk.run(site.url("aac.m4a"))
    assert len(desk.all()) == 2


def test_MU_21_the_next_unsynced_row_is_what_is_processed(desk: Desk, site: Site) -> None:
    done = desk.row("Done already", Artist_Name="X", Source_URL=site.url("opus.webm"), DL=True)
    row = desk.row("Night Drive", Artist_Name="Wren Hollow", Source_URL=site.url("aac.m4a"))
    run = desk.run()
    assert isinstance(run.outcome, Done), run.outcome
    assert desk.read(row).values["downloaded"] is True
    assert "m4a_path" in desk.read(done).values and desk.read(done).values["m4a_path"] == ""
    assert site.hits["opus.webm"] == 0
    nothing = desk.run()
    assert isinstance(nothing.outcome, Done | Blocked), nothing.outcome
    assert site.hits["aac.m4a"] == 2


def test_MU_33_a_row_that_can_never_work_leaves_the_selection(desk: Desk, site: Site) -> None:
    """The predecessor picked the same dead row in every run; here the same run goes on with the next."""
    site.routes["gone.m4a"] = answer(404)
    bad = desk.row("Gone", Artist_Name="X", Source_URL=site.url("gone.m4a"))
    good = desk.row("Night Drive", Artist_Name="Wren Hollow", Source_URL=site.url("aac.m4a"))
    run = desk.run()
    while desk.read(good).values["downloaded"] is not True or not desk.read(bad).values["error"]:
        assert isinstance(run.outcome, Done | Failed), run.outcome  # rows of one minute come in any order
        before = site.hits["gone.m4a"]
        run = desk.run()
        assert site.hits["gone.m4a"] <= before + 2
    said = desk.read(bad).values
    assert "404" in said["error"] and said["stage"] == ["Error Occurred During Processing"]
    asked = site.hits["gone.m4a"]
    desk.run()
    assert site.hits["gone.m4a"] == asked, "a rejected row was asked for again"


def test_a_row_whose_track_is_in_the_library_is_only_brought_up_to_date(
    desk: Desk, site: Site, tmp_path: Path
) -> None:
    desk.run(site.url("aac.m4a"))
    (row,) = desk.all()
    desk.hand("PATCH", f"pages/{row.id}", {"properties": {"DL": {"checkbox": False}}})
    before = (library_files(tmp_path / "home"), site.hits["aac.m4a"])
    run = desk.run()
    assert isinstance(run.outcome, Done) and gates(run)["tracks.row"] == "passed", gates(run)
    assert desk.read(row.id).values["downloaded"] is True
    assert (library_files(tmp_path / "home"), site.hits["aac.m4a"]) == before


def test_a_batch_makes_a_task_for_each_row(desk: Desk, site: Site) -> None:
    rows = {desk.row(f"T{n}", Artist_Name="X", Source_URL=site.url(f"t{n}.m4a")) for n in range(7)}
    run = desk.run(parameters='mode = "batch"')
    assert isinstance(run.outcome, Done), run.outcome
    assert len(run.context.made) == 7
    named = {line.split('"')[1] for d in run.context.made.values() for line in d.parameters.splitlines()[1:]}
    assert named == rows
    site.routes["t3.m4a"] = site.routes.get("x", answer(404))
    one = desk.run(parameters=next(d.parameters for d in run.context.made.values() if "T3" in d.title))
    assert isinstance(one.outcome, Failed) and site.hits["t3.m4a"] > 0 and site.hits["t1.m4a"] == 0


def test_files_that_a_row_names_and_the_index_does_not_know_ask_a_person(
    desk: Desk, site: Site, tmp_path: Path
) -> None:
    desk.run(site.url("aac.m4a"))
    (tmp_path / "home" / "library.db").unlink()
    for left in (tmp_path / "home").glob("library.db-*"):
        left.unlink()
    run = desk.run(site.url("aac.m4a"))
    assert isinstance(run.outcome, NeedsReview) and "library scan" in run.outcome.reason, run.outcome
    assert len(desk.all()) == 1


def test_a_database_without_any_strong_id_is_refused(board: BoardServer, desk: Desk, site: Site) -> None:
    keep = {k: v for k, v in made_by_hand.SCHEMA.items() if k in ("Title", "Artist Name", "DL")}
    database, _ = made_by_hand.create(desk.hand, keep)
    poor = NotionBoard(
        BoardSettings(base_url=board.url, tracks_database_id=database),
        TOKEN,
        clock=time.time,
        stop=threading.Event(),
        log=structlog.get_logger(),
    )
    rows, good = poor.rows("tracks"), desk.client.rows("tracks")
    assert rows is not None and good is not None
    with pytest.raises(Exception, match="no property that tells a track"):
        tracks.look(_with(rows))
    assert tracks.look(_with(good)).state == "ok"
    poor.close()


def _with(rows: Any) -> Any:
    ctx = context(Settings(), Path("/nonexistent"), Path("/nonexistent"))
    ctx.databases["tracks"] = rows
    return ctx


@pytest.mark.parametrize(
    ("values", "by"),
    [
        ({"own_id": "i" * 20}, "handoffd:track"),
        ({"spotify_id": "2k4dVXkGqNwGkcGaTVDTkX"}, "Spotify id"),
        ({"spotify_id": "spotify:track:2k4dVXkGqNwGkcGaTVDTkX"}, "Spotify id"),
        ({"spotify_url": "https://open.spotify.com/track/2k4dVXkGqNwGkcGaTVDTkX?si=1"}, "Spotify id"),
        ({"youtube_url": "https://youtu.be/dQw4w9WgXcQ?si=abc"}, "address"),
        ({"source_url": "https://music.youtube.com/watch?v=dQw4w9WgXcQ&list=x"}, "address"),
        ({"isrc": " bea012345678 ", "duration_s": 241.0}, "ISRC"),
        ({"isrc": "BEA012345678"}, "ISRC"),
        ({"isrc": "BEA012345678", "duration_ms": 200_000}, ""),
        ({"title": "Night Drive", "artist": "Wren Hollow", "duration_s": 240.0}, ""),
        ({"youtube_url": "not a url"}, ""),
    ],
)
def test_only_a_strong_id_makes_a_row_the_tracks_own(values: dict[str, Any], by: str) -> None:
    keys = ("spotify:2k4dVXkGqNwGkcGaTVDTkX", "youtube:dQw4w9WgXcQ")
    who = tracks.Who(id="i" * 20, keys=keys, isrc="BEA012345678", duration_s=240.0)
    assert tracks.same(Row(id="a" * 32, url="", values=values), who, 3.0) == by


def test_a_path_on_the_page_is_only_looked_at_below_our_folders(tmp_path: Path) -> None:
    inside, outside = tmp_path / "music" / "a.m4a", tmp_path / "b.m4a"
    inside.parent.mkdir()
    for path in (inside, outside):
        path.write_bytes(b"x")
    row = Row(
        id="a" * 32, url="", values={"m4a_path": str(inside), "wav_path": str(outside), "aiff_path": "../x\0"}
    )
    assert tracks.held_files(row, [tmp_path / "music"]) == [str(inside)]
    sneaky = Row(id="a" * 32, url="", values={"m4a_path": f"{tmp_path}/music/../b.m4a"})
    assert tracks.held_files(sneaky, [tmp_path / "music"]) == []


def test_a_dry_run_names_the_row_and_leaves_it_alone(desk: Desk, site: Site) -> None:
    row = desk.row("Night Drive", Artist_Name="Wren Hollow", Source_URL=site.url("aac.m4a"))
    before = desk.read(row)
    run = desk.run(parameters="dry_run = true")
    assert isinstance(run.outcome, NeedsReview) and "Wren Hollow – Night Drive" in run.outcome.summary
    assert desk.read(row) == before and len(desk.all()) == 1 and not site.hits


def test_without_a_tracks_database_the_gate_does_not_apply(site: Site, sync: Any) -> None:
    assert gates(sync(site.url("aac.m4a")))["tracks.row"] == "not_applicable"
