"""``dry_run``: every mode says what it would do and changes nothing, and is never Completed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from daemon.sdk import NeedsReview
from daemon.testing import HandlerRun
from tests.music.conftest import Site, Sync, answer

SIDECARS = ("-wal", "-shm")
"""SQLite's own files beside an index that is read; they hold nothing of ours."""


def everything(home: Path) -> dict[str, str]:
    """Path → hash of each file below the home, folders as well."""
    found = {}
    for path in sorted(home.rglob("*")):
        if not path.name.endswith(SIDECARS):
            body = path.read_bytes() if path.is_file() else b"folder"
            found[str(path.relative_to(home))] = hashlib.sha256(body).hexdigest()
    return found


def would(run: HandlerRun) -> str:
    assert isinstance(run.outcome, NeedsReview), run.outcome
    assert run.outcome.reason.startswith("dry run") and run.outcome.data["dry_run"] is True
    assert not run.context.made, "a task was made"
    assert {j.result.value for j in run.judged} <= {"passed", "not_applicable"}, run.judged
    return "\n".join(run.outcome.data["would"])


def test_an_address_is_neither_asked_for_nor_made(site: Site, sync: Sync, tmp_path: Path) -> None:
    run = sync(site.url("aac.m4a"), "dry_run = true")
    said = would(run)
    assert "would be downloaded" in said and "m4a, aiff, wav, backup" in said
    assert everything(tmp_path / "home") == {} and not site.hits


@pytest.fixture
def synced(site: Site, sync: Sync, tmp_path: Path) -> Path:
    sync(site.url("aac.m4a"))
    site.hits.clear()
    return tmp_path / "home"


def test_a_track_that_is_there_or_has_lost_a_file(site: Site, sync: Sync, synced: Path) -> None:
    before = everything(synced)
    assert "nothing would be downloaded" in would(sync(site.url("aac.m4a"), "dry_run = true"))
    assert everything(synced) == before
    next((synced / "music").rglob("*.wav")).unlink()
    before = everything(synced)
    assert "and wav made below" in would(sync(site.url("aac.m4a"), "dry_run = true"))
    said = would(sync("", 'mode = "verify"\nrepair = true\ndry_run = true'))
    assert "would be repaired: wav missing" in said
    assert everything(synced) == before and not site.hits


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("scan", "4 file(s) would be read"),
        ("verify", "nothing would be repaired"),
        ("dedup-plan", "no plan would be made"),
    ],
)
def test_the_library_modes(mode: str, says: str, sync: Sync, synced: Path) -> None:
    before = everything(synced)
    assert says in would(sync("", f'mode = "{mode}"\ndry_run = true'))
    assert everything(synced) == before


def test_without_a_library_there_is_nothing_to_do(sync: Sync, tmp_path: Path) -> None:
    assert "no library yet" in would(sync("", 'mode = "scan"\ndry_run = true'))
    assert everything(tmp_path / "home") == {}


def test_a_batch_says_which_tasks_it_would_make(site: Site, sync: Sync, tmp_path: Path) -> None:
    said = sync("", 'mode = "batch"\ndry_run = true', sources=("soundcloud-likes",))
    assert "no task would be made" in would(said)
    assert everything(tmp_path / "home") == {}


def test_a_chain_without_any_new_track_says_so(sync: Sync, tmp_path: Path) -> None:
    assert "no level" in would(sync("", "dry_run = true", sources=("tracks-db",)))
    assert everything(tmp_path / "home") == {}


def test_a_searched_track_is_resolved_and_not_made(site: Site, sync: Sync, tmp_path: Path) -> None:
    hits = [{"url": site.url("aac.m4a"), "title": "Night Drive", "artist": "Wren Hollow", "duration": 4.0}]
    body = json.dumps(hits).encode()
    site.routes["search"] = answer(200, body, Content_Type="application/json")
    playing = {
        "id": "2k4dVXkGqNwGkcGaTVDTkX",
        "name": "Night Drive",
        "type": "track",
        "artists": [{"name": "Wren Hollow"}],
        "duration_ms": 4000,
    }
    for path, said in {
        "api/token": {"access_token": "t", "expires_in": 3600},
        "v1/me/player/currently-playing": {"is_playing": True, "item": playing},
    }.items():
        raw = json.dumps(said).encode()
        site.routes[path] = answer(200, raw, Content_Type="application/json")
    site.server.RequestHandlerClass.do_POST = site.server.RequestHandlerClass.do_GET  # type: ignore[attr-defined]
    run = sync(
        "",
        "dry_run = true",
        sources=("spotify-now",),
        search=("catalogue",),
        catalogues=(site.url("search?q={query}"),),
        spotify_base_url=site.base,
        secrets=dict.fromkeys(("spotify_client_id", "spotify_client_secret", "spotify_refresh_token"), "x"),
    )
    said = would(run)
    assert "Wren Hollow – Night Drive" in said and "would be downloaded" in said
    assert everything(tmp_path / "home") == {} and site.hits["aac.m4a"] == 0
