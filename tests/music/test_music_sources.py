"""The source chain and mode single, against a real stand-in of Spotify and a catalogue on loopback."""

from __future__ import annotations

import http.server
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from mutagen.mp4 import MP4

from daemon.sdk import Blocked, Done, Failed, NeedsReview, Retry
from daemon.testing import HandlerRun, run_handler, sample_task
from handlers.music import MusicSync, Settings
from handlers.music.children.spotify import plain
from tests.music.conftest import LOOPBACK, Site, answer, context, gates, library_files

SECRETS = {"spotify_client_id": "id", "spotify_client_secret": "secret", "spotify_refresh_token": "refresh"}
PLAYING = {
    "id": "2k4dVXkGqNwGkcGaTVDTkX",
    "name": "Night Drive",
    "type": "track",
    "artists": [{"name": "Wren Hollow"}],
    "album": {"name": "Roads", "release_date": "2024-05-01"},
    "duration_ms": 4000,
    "external_ids": {"isrc": "BEA012345678"},
}
Route = Callable[[http.server.BaseHTTPRequestHandler], None]


def say(body: Any, status: int = 200, **headers: str) -> Route:
    raw = b"" if body is None else json.dumps(body).encode()
    return answer(status, raw, Content_Type="application/json", Content_Length=str(len(raw)), **headers)


@pytest.fixture
def spotify(site: Site) -> Site:
    """A stand-in for Spotify: tokens, and what plays."""

    def do_post(request: Any) -> None:
        site.hits["token"] += 1
        route = site.routes.get(
            "api/token", say({"access_token": f"t{site.hits['token']}", "expires_in": 3600})
        )
        route(request)

    handler = site.server.RequestHandlerClass
    handler.do_POST = do_post  # type: ignore[attr-defined]  # the stand-in takes tokens by POST
    site.routes["v1/me/player/currently-playing"] = say({"is_playing": True, "item": PLAYING})
    site.routes["v1/me/tracks"] = say({"items": [{"track": PLAYING}], "next": None})
    return site


Single = Callable[..., HandlerRun]


@pytest.fixture
def single(spotify: Site, tmp_path: Path) -> Single:
    count = [0]

    def run(
        parameters: str = "", url: str = "", secrets: dict[str, str] = SECRETS, **settings: Any
    ) -> HandlerRun:
        count[0] += 1
        home, work = tmp_path / "home", tmp_path / "work" / str(count[0])
        work.mkdir(parents=True)
        home.mkdir(exist_ok=True)
        chosen = Settings(
            **{
                "allow_hosts": LOOPBACK,
                "sources": ("spotify-now",),
                "search": ("catalogue",),
                "spotify_base_url": spotify.base,
                "catalogues": (spotify.url("search?q={query}"),),
                **settings,
            }
        )
        ctx = context(chosen, home, work, f"{count[0]:032x}")
        ctx.secrets.update(secrets)
        return run_handler(MusicSync, sample_task(url=url, parameters=parameters), home, context=ctx)

    return run


def hit(spotify: Site, path: str = "aac.m4a", **fields: Any) -> dict[str, Any]:
    base = {"url": spotify.url(path), "title": "Night Drive", "artist": "Wren Hollow", "duration": 4.0}
    return {**base, **fields}


def test_MU_21_what_plays_is_what_is_processed(spotify: Site, single: Single, tmp_path: Path) -> None:
    spotify.routes["search"] = say([hit(spotify, title="Night Drive (Live)"), hit(spotify)])
    run = single()
    assert isinstance(run.outcome, Done), run.outcome
    assert all(r in ("passed", "not_applicable") for r in gates(run).values()), gates(run)
    tags = MP4(tmp_path / "home/music/Unassigned/Wren Hollow - Night Drive.m4a").tags
    assert tags is not None
    assert bytes(tags["----:com.apple.iTunes:handoffd:key"][0]) == b"spotify:2k4dVXkGqNwGkcGaTVDTkX"
    assert bytes(tags["----:com.apple.iTunes:ISRC"][0]) == b"BEA012345678"
    again = single()
    assert isinstance(again.outcome, Done) and again.outcome.summary.startswith("Nothing to sync")
    assert len(library_files(tmp_path / "home")) == 4 and spotify.hits["aac.m4a"] == 2


def test_the_first_hit_is_never_taken_for_being_first(spotify: Site, single: Single, tmp_path: Path) -> None:
    spotify.routes["search"] = say(
        [hit(spotify, title="Night Drive (Kova Remix)"), hit(spotify, artist="Other")]
    )
    run = single()
    assert isinstance(run.outcome, Failed), run.outcome
    assert library_files(tmp_path / "home") == []
    hits = spotify.hits["search"]
    again = single()  # MU-33: it has left the selection
    assert spotify.hits["search"] == hits and isinstance(again.outcome, Done), again.outcome


def test_unsure_ends_in_review_with_the_candidates(spotify: Site, single: Single) -> None:
    spotify.routes["search"] = say([hit(spotify, duration=None)])
    run = single()
    assert isinstance(run.outcome, NeedsReview)
    assert spotify.url("aac.m4a") in run.outcome.summary and not spotify.hits["aac.m4a"]


def test_sound_of_another_length_than_what_plays_is_refused(
    spotify: Site, single: Single, tmp_path: Path
) -> None:
    spotify.routes["v1/me/player/currently-playing"] = say({"item": {**PLAYING, "duration_ms": 200_000}})
    spotify.routes["search"] = say([hit(spotify, duration=200.0)])
    run = single()
    assert isinstance(run.outcome, Failed) and "another recording" not in run.outcome.reason[:10]
    assert "what was detected 200 s" in run.outcome.reason and library_files(tmp_path / "home") == []


def test_MU_21_a_page_that_holds_another_recording_than_it_was_listed_as_is_refused(
    spotify: Site, single: Single, audio: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """The search promised the plain version; what the address gives calls itself a remix."""
    remix = tmp_path / "remix.m4a"
    ffmpeg("-i", audio / "aac.m4a", "-c", "copy", "-metadata", "title=Night Drive (Kova Remix)", remix)
    spotify.routes["other.m4a"] = answer(200, remix.read_bytes(), Content_Type="audio/mp4")
    spotify.routes["search"] = say([hit(spotify, "other.m4a")])
    run = single()
    assert isinstance(run.outcome, Failed), run.outcome
    assert "the address gives Wren Hollow – Night Drive (Kova Remix)" in run.outcome.reason
    assert library_files(tmp_path / "home") == []


def test_MU_21_an_address_of_another_track_of_the_library_is_not_taken_for_it(
    spotify: Site, single: Single, tmp_path: Path
) -> None:
    """The address is known, under another name: its files must not be called the detected track's."""
    first = single('mode = "url"', url=spotify.url("aac.m4a"))
    assert isinstance(first.outcome, Done), first.outcome
    wanted = {**PLAYING, "name": "Paper Lanterns", "artists": [{"name": "Oda Vale"}]}
    spotify.routes["v1/me/player/currently-playing"] = say({"item": wanted})
    spotify.routes["search"] = say([hit(spotify, title="Paper Lanterns", artist="Oda Vale")])
    run = single()
    assert isinstance(run.outcome, Failed), run.outcome
    assert "detected was Oda Vale – Paper Lanterns" in run.outcome.reason
    assert len(library_files(tmp_path / "home")) == 4


def test_an_unsure_track_holds_back_no_other_and_gets_a_task_of_its_own(
    spotify: Site, single: Single, tmp_path: Path
) -> None:
    unsure = {**PLAYING, "id": "1" * 22, "name": "Paper Lanterns", "artists": [{"name": "Oda Vale"}]}
    spotify.routes["v1/me/tracks"] = say({"items": [{"track": unsure}, {"track": PLAYING}], "next": None})
    spotify.routes["search"] = say(
        [hit(spotify), hit(spotify, "mp3.mp3", title="Paper Lanterns", artist="Oda Vale", duration=None)]
    )
    run = single(sources=("spotify-liked",))
    assert isinstance(run.outcome, Done), run.outcome
    assert run.outcome.data["track"]["title"] == "Night Drive"
    (key, draft) = next(iter(run.context.made.items()))
    assert key == "music:spotify:" + "1" * 22 and 'mode = "single"' in draft.parameters
    alone = single(draft.parameters)
    assert not isinstance(alone.outcome, Done)


def test_the_address_that_a_person_chose_is_taken_under_the_detected_identity(
    spotify: Site, single: Single, tmp_path: Path
) -> None:
    """After a review the task has both: which track it is, and the address for it."""
    spotify.routes[f"v1/tracks/{PLAYING['id']}"] = say(PLAYING)
    spotify.routes["search"] = say([hit(spotify, duration=None)])
    order = f'mode = "single"\nspotify = "{PLAYING["id"]}"'
    asked = single(order)
    assert isinstance(asked.outcome, NeedsReview), asked.outcome
    run = single(order, url=spotify.url("aac.m4a"))
    assert isinstance(run.outcome, Done), run.outcome
    assert run.outcome.data["track"]["key"] == f"spotify:{PLAYING['id']}"


@pytest.mark.parametrize(
    "state",
    [
        None,
        {"item": None, "currently_playing_type": "ad"},
        {"item": {"id": "e1", "type": "episode", "name": "A podcast"}, "currently_playing_type": "episode"},
        {"item": {"id": None, "is_local": True, "name": "From my disk"}},
        {"is_playing": False},
    ],
)
def test_a_podcast_an_ad_or_nothing_is_a_levels_miss(spotify: Site, single: Single, state: Any) -> None:
    spotify.routes["v1/me/player/currently-playing"] = say(state, status=200 if state else 204)
    spotify.routes["search"] = say([hit(spotify)])
    run = single(sources=("spotify-now", "spotify-liked"))
    assert isinstance(run.outcome, Done), run.outcome  # the next level gave the track
    levels = [f for f in run.outcome.data["phases"][1]["findings"] if f["title"].startswith("Level")]
    assert [f["state"] for f in levels] == ["missing", "ok"]


def test_spotDL_2585_a_retry_after_of_a_day_is_not_slept_through(spotify: Site, single: Single) -> None:
    spotify.routes["v1/me/player/currently-playing"] = say(
        {"error": {"status": 429}}, 429, Retry_After="86400"
    )
    began = time.monotonic()
    run = single()
    assert isinstance(run.outcome, Retry) and run.outcome.after == 86400.0
    assert time.monotonic() - began < 10


def test_a_token_that_expires_in_the_middle_is_renewed(spotify: Site, single: Single) -> None:
    spotify.routes["search"] = say([hit(spotify)])

    def once(request: Any) -> None:
        if spotify.hits["v1/me/player/currently-playing"] == 1:
            say({"error": {"status": 401, "message": "The access token expired"}}, 401)(request)
        else:
            say({"item": PLAYING})(request)

    spotify.routes["v1/me/player/currently-playing"] = once
    run = single()
    assert isinstance(run.outcome, Done), run.outcome
    assert spotify.hits["token"] == 2


def test_a_token_that_expires_between_two_pages_loses_no_track(spotify: Site, single: Single) -> None:
    playlist = "37i9dQZF1DXcBWIGoYBM5M"
    path = f"v1/playlists/{playlist}/items"

    def page(request: Any) -> None:
        start = int(parse_qs(urlsplit(request.path).query)["offset"][0])
        if start and spotify.hits["token"] == 1:
            return say({"error": {"status": 401, "message": "The access token expired"}}, 401)(request)
        rows = [
            {"item": {**PLAYING, "id": f"{n:022d}", "name": f"Song {n}"}} for n in range(start, start + 50)
        ]
        return say({"items": rows, "next": "more" if start == 0 else None})(request)

    spotify.routes[path] = page
    run = single('mode = "playlist"', url=f"https://open.spotify.com/playlist/{playlist}")
    assert isinstance(run.outcome, Done), run.outcome
    assert list(run.context.made) == [f"music:spotify:{n:022d}" for n in range(100)]
    assert spotify.hits["token"] == 2


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [(400, {"error": "invalid_grant"}, "refused"), (403, {"error": {"status": 403}}, "Premium")],
)
def test_a_refused_token_blocks_with_what_to_do(
    spotify: Site, single: Single, status: int, body: Any, said: str
) -> None:
    path = "api/token" if status == 400 else "v1/me/player/currently-playing"
    spotify.routes[path] = say(body, status)
    run = single()
    assert isinstance(run.outcome, Blocked) and said in run.outcome.reason


def test_without_any_source_set_up_the_task_says_so(single: Single) -> None:
    run = single(secrets={}, sources=("spotify-now", "soundcloud-likes", "tracks-db"))
    assert isinstance(run.outcome, Blocked)
    for word in ("spotify_client_id", "soundcloud_profile", "Tracks database"):
        assert word in run.outcome.reason


def test_MU_18_a_spotify_address_is_looked_for_elsewhere(
    spotify: Site, single: Single, tmp_path: Path
) -> None:
    spotify.routes[f"v1/tracks/{PLAYING['id']}"] = say(PLAYING)
    spotify.routes["search"] = say([hit(spotify)])
    run = single(url=f"https://open.spotify.com/intl-de/track/{PLAYING['id']}?si=abc")
    assert isinstance(run.outcome, Done), run.outcome
    assert len(library_files(tmp_path / "home")) == 4


def test_a_playlist_makes_one_task_a_track_once(spotify: Site, single: Single) -> None:
    rows = [{"item": {**PLAYING, "id": f"{n:022d}", "name": f"Song {n}"}} for n in range(3)]
    rows.append({"item": {"id": None, "is_local": True, "name": "local"}})
    playlist = "37i9dQZF1DXcBWIGoYBM5M"
    spotify.routes[f"v1/playlists/{playlist}/items"] = say({"items": rows, "next": None})
    run = single('mode = "playlist"\nplaylist = "Late"', url=f"https://open.spotify.com/playlist/{playlist}")
    assert isinstance(run.outcome, Done), run.outcome
    made = run.context.made
    assert list(made) == [f"music:spotify:{n:022d}" for n in range(3)]
    assert made[f"music:spotify:{0:022d}"].parameters.splitlines() == [
        'playlist = "Late"',
        'mode = "single"',
        f'spotify = "{0:022d}"',
    ]


@pytest.mark.parametrize(
    "odd", [None, [], {}, {"id": "x"}, {"id": "x", "name": "n", "artists": None, "album": []}]
)
def test_every_field_of_spotify_is_optional(odd: Any) -> None:
    found = plain(odd)
    assert found is None or (found["artists"] == [] and found["duration_s"] is None and found["isrc"] == "")
