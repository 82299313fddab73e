"""A match that a person rejects, a volume that goes away in the middle, leftovers of another download."""

from __future__ import annotations

import http.server
import re
from pathlib import Path

import pytest

from daemon.sdk import Blocked, Done, Failed, OpenTask
from daemon.testing import DirectContext, run_handler, sample_task
from handlers.music import MusicSync, Settings
from handlers.music.library import Library
from tests.music.conftest import LOOPBACK, Site, Sync, context, gates, library_files

SPOTIFY = "https://open.spotify.com/track/2k4dVXkGqNwGkcGaTVDTkX"
KEY = "spotify:2k4dVXkGqNwGkcGaTVDTkX"


def test_SpotiFLAC_952_a_rejected_match_is_remembered_and_the_track_is_free_again(
    sync: Sync, tmp_path: Path
) -> None:
    index = tmp_path / "home" / "library.db"
    with Library(index) as library:
        library.reject(KEY, "404")
    wrong = "https://m.youtube.com/watch?v=dQw4w9WgXcQ&si=x"
    run = sync("", f'mode = "reject"\ntrack = "{SPOTIFY}"\nurl = "{wrong}"')
    assert isinstance(run.outcome, Done), run.outcome
    assert gates(run)["match.rejected"] == "passed"
    assert {r for g, r in gates(run).items() if g != "match.rejected"} == {"not_applicable"}
    with Library(index) as library:
        assert set(library.ruled_out(KEY)) == {wrong, "https://www.youtube.com/watch?v=dQw4w9WgXcQ"}
        assert library.rejection(KEY) == ""
    back = sync("", f'mode = "reject"\ntrack = "{KEY}"\nforget = true')
    assert isinstance(back.outcome, Done)
    with Library(index) as library:
        assert library.ruled_out(KEY) == []


@pytest.mark.parametrize("parameters", ['track = "nobody"\nurl = "https://x.test"', 'track = "spotify:x"'])
def test_what_is_no_rejection_is_said(parameters: str, sync: Sync) -> None:
    run = sync("", f'mode = "reject"\n{parameters}')
    assert isinstance(run.outcome, Failed), run.outcome


def test_a_volume_that_is_unmounted_in_the_middle_gets_nothing_written_into_its_place(
    site: Site, sync: Sync, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    output = str(volume / "music")
    assert isinstance(sync(site.url("mp3.mp3"), output=output).outcome, Done)

    def unplug(request: http.server.BaseHTTPRequestHandler) -> None:
        if (volume / "music").is_dir() and not (tmp_path / "unplugged").exists():
            (volume / "music").rename(tmp_path / "unplugged")
            (volume / "music").mkdir()  # the bare mount point
        http.server.SimpleHTTPRequestHandler.do_GET(request)  # type: ignore[arg-type]  # the stand-in's own

    site.routes["aac.m4a"] = unplug
    run = sync(site.url("aac.m4a"), output=output)
    assert isinstance(run.outcome, Blocked) and "mount" in run.outcome.unblock, run.outcome
    assert list((volume / "music").iterdir()) == []
    del site.routes["aac.m4a"]
    (volume / "music").rmdir()
    (tmp_path / "unplugged").rename(volume / "music")
    assert isinstance(sync(site.url("aac.m4a"), output=output).outcome, Done)


def test_yt_dlp_12994_a_stale_part_of_another_file_is_not_gone_on_with(site: Site, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    folder = work / "attempt-1" / "source"
    folder.mkdir(parents=True)
    home.mkdir()
    for name in ("aac.m4a.part", "source.m4a.part", "aac.m4a", "track.m4a.part"):
        (folder / name).write_bytes(b"another rendition" * 4096)
    ctx = context(Settings(allow_hosts=LOOPBACK), home, work)
    run = run_handler(MusicSync, sample_task(url=site.url("aac.m4a")), home, context=ctx)
    assert isinstance(run.outcome, Done), run.outcome
    assert gates(run)["files.same_audio"] == "passed" and len(library_files(home)) == 4


def test_phase_0_names_open_tasks_earlier_gaps_and_defaults(site: Site, ctx: DirectContext) -> None:
    ctx.others.append(OpenTask(id="b" * 32, title="Sync it too", gate="retry", reason="the host is busy"))
    run = run_handler(MusicSync, sample_task(url=site.url("aac.m4a")), ctx.home, context=ctx)
    assert isinstance(run.outcome, Done), run.outcome
    first = run.outcome.data["phases"][0]["findings"]
    text = "\n".join(f"{f['title']}: {f['text']}" for f in first)
    assert "Open task: Sync it too: the host is busy" in text
    assert "From defaults: music.output" in text and "Gaps of earlier runs: 0 among 0" in text
    seen = gates(run)
    assert {seen[g] for g in ("defaults", "related-items", "earlier-gaps")} == {"passed"}


def test_the_page_names_tests_that_are_there() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "music.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    there = {
        name
        for file in (root / "tests" / "music").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", file.read_text(encoding="utf-8"), flags=re.M)
    }
    assert len(named) > 30 and named <= there, named - there
